package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// readyTimeout is how long pods may take to get in sync, after a start or an outage.
const readyTimeout = 15 * time.Second

// errChecks is the end of a story in which not every check held; what failed has been printed.
var errChecks = errors.New("not every check held")

// errGaveUp ends a chapter in which a pod does not do what it should: a check that did not hold, not a reason to end the
// story.
var errGaveUp = errors.New("gave up")

// story is what the chapters share. One goroutine tells it.
type story struct {
	out    io.Writer
	db     *database
	pods   *fleet
	front  *front
	client *client
	oracle *oracle
	table  table
}

func newStory(out io.Writer, db *database, pods *fleet, f *front) *story {
	return &story{
		out: out, db: db, pods: pods, front: f, client: newClient(),
		oracle: newOracle(bound, accountIDs, time.Now()), table: table{pods: pods.names},
	}
}

// say prints a line, indented below its heading.
func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, "   "+format+"\n", args...) }

// tell tells all of it. The error is errChecks if it came to its end.
func (s *story) tell(ctx context.Context) error {
	started := time.Now()
	if err := s.introduce(ctx); err != nil {
		return err
	}
	for i, c := range s.chapters() {
		if err := s.chapter(ctx, i+1, c); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return s.conclude(time.Since(started))
}

func (s *story) introduce(ctx context.Context) error {
	fmt.Fprintf(s.out, "%d pods, one Postgres, and what they have to survive\n\n", len(s.pods.names))
	s.say("Postgres %s, way: %s", s.db.Version(), s.db.Server.Kind())
	if s.db.noCrash != "" {
		s.say("")
		s.say("*** NOT SHOWN: this server cannot be crashed, so the chapters about a crash are left out.")
		s.say("*** %s", s.db.noCrash)
		s.say("")
	}
	if err := s.waitLive(ctx, s.pods.alive()); err != nil {
		return err
	}
	for _, p := range s.pods.alive() {
		s.say("pod %s: process %d, %s", p.name, s.pods.get(p.name).PID(), p.url())
	}
	s.say("round robin: %s", s.front.url())
	s.say("Readers read all of these all the time. No answer may be staler than %s (+ %s for measuring).",
		bound-measuringSlack, measuringSlack)
	return nil
}

// chapter plays one, with readers all the while, and checks at its end that nothing was lost.
func (s *story) chapter(ctx context.Context, number int, c chapter) error {
	fmt.Fprintf(s.out, "\n%d. %s\n", number, c.title)
	t := newTally(fmt.Sprintf("%d. %s", number, c.title), c.allowed)
	if err := s.revive(ctx); err != nil {
		return err
	}
	stop := s.startReaders(ctx, t)
	err := c.play(ctx, t)
	if errors.Is(err, errGaveUp) {
		t.fail("%v", err)
		err = nil
	}
	if err == nil {
		err = s.settle(ctx, t)
	}
	stop()
	if err != nil {
		return err
	}
	s.table.rows = append(s.table.rows, t)
	n := t.snapshot()
	s.say("Meanwhile %d reads, %d from caches: %d stale within the bound, %d beyond it; %d events lost.",
		n.reads, n.cached, n.stale, n.beyond+n.impossible, n.lost)
	for _, problem := range t.problems() {
		s.say("FAILED: %s", problem)
	}
	return nil
}

// revive starts the pods that a chapter has left dead because it gave up.
func (s *story) revive(ctx context.Context) error {
	for _, name := range s.pods.names {
		if _, alive := s.pods.target(name); alive {
			continue
		}
		if err := s.pods.start(ctx, name); err != nil {
			return err
		}
	}
	return s.waitLive(ctx, s.pods.alive())
}

// settle waits, when nothing is written any more, until every pod is in sync and serves what is committed. A pod that
// says it is in sync, and still serves something else after the bound, has lost an event.
func (s *story) settle(ctx context.Context, t *tally) error {
	pods := s.pods.alive()
	if err := s.waitLive(ctx, pods); err != nil {
		return err
	}
	deadline := time.Now().Add(bound)
	for _, id := range accountIDs {
		truth, err := s.truth(ctx, id)
		if err != nil {
			return err
		}
		for _, p := range pods {
			var last reply
			ok, err := every(ctx, time.Millisecond, max(0, time.Until(deadline)), func() bool {
				last, err = s.read(ctx, t, p, id)
				return err == nil && last.Fresh && last.Version == truth
			})
			if err != nil {
				return err
			}
			if !ok {
				t.addLost(fmt.Sprintf("pod %s (%s) serves version %d of %s, version %d is committed", p.name, last.State, last.Version, id, truth))
			}
		}
	}
	return nil
}

// truth reads the last committed version of an account from the database, and tells the oracle.
func (s *story) truth(ctx context.Context, id string) (int64, error) {
	version, err := s.db.version(ctx, id)
	if err == nil {
		s.oracle.saw(id, version, time.Now())
	}
	return version, err
}

// waitLive waits until pods are in sync.
func (s *story) waitLive(ctx context.Context, pods []target) error {
	return s.waitAll(ctx, pods, readyTimeout, func(_ target, st standing, err error) bool {
		return err == nil && inSync(st)
	})
}

func inSync(st standing) bool { return st.Fresh && st.State == "live" }

// waitAll asks pods how they stand until each has once been as it should be. The error names one that was not.
func (s *story) waitAll(
	ctx context.Context, pods []target, limit time.Duration, good func(p target, st standing, err error) bool,
) error {
	waiting := slices.Clone(pods)
	var last string
	ok, err := every(ctx, 2*time.Millisecond, limit, func() bool {
		waiting = slices.DeleteFunc(waiting, func(p target) bool {
			st, err := s.client.standing(ctx, p)
			if good(p, st, err) {
				return true
			}
			last = fmt.Sprintf("%+v, error: %v", st, err)
			return false
		})
		return len(waiting) == 0
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: pod %s is not where it should be after %s: %s", errGaveUp, waiting[0].name, limit, last)
	}
	return err
}

// conclude prints the table and says whether every check held.
func (s *story) conclude(took time.Duration) error {
	fmt.Fprintln(s.out)
	s.table.write(s.out)
	fmt.Fprintln(s.out, "ms behind: the longest after a commit that a pod served the version before it")
	if s.db.noCrash != "" {
		fmt.Fprintln(s.out, "NOT SHOWN: a crash of the database")
	}
	failed := 0
	for _, row := range s.table.rows {
		for _, problem := range row.problems() {
			failed++
			fmt.Fprintf(s.out, "FAILED: %s: %s\n", row.title, problem)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d failed", errChecks, failed)
	}
	fmt.Fprintf(s.out, "\nEvery check held. The story took %.1f s.\n", took.Seconds())
	return nil
}
