package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// readyTimeout is how long pods may take to be in sync after a start or an outage.
const readyTimeout = 15 * time.Second

// errChecks is returned by a story in which a check failed. The failures have been printed.
var errChecks = errors.New("not every check held")

// errGaveUp ends a chapter in which a pod does not do what it should. It counts as a failed check, and the story goes on.
var errGaveUp = errors.New("gave up")

// story is the state that the chapters share. One goroutine runs it.
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

// play plays all chapters. It returns errChecks if the story ran to its end and a check failed.
func (s *story) play(ctx context.Context) error {
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
	fmt.Fprintf(s.out, "%d pods, one Postgres, and the faults that they have to survive\n\n", len(s.pods.names))
	s.say("Postgres %s, kind: %s", s.db.Version(), s.db.Server.Kind())

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
	s.say("Readers read all of these all the time. No read may be staler than %s (+ %s for measuring).",
		bound-measuringSlack, measuringSlack)
	return nil
}

// chapter plays a chapter while readers run, and checks at its end that no event was lost.
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

// revive starts the pods that a chapter left dead when it gave up.
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

// settle waits, after the last write, until every pod is in sync and serves the committed versions. A pod that is in sync
// but still serves another version after the bound has lost an event.
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

// truth reads the last committed version of an account from the database, and reports it to the oracle.
func (s *story) truth(ctx context.Context, id string) (int64, error) {
	version, err := s.db.version(ctx, id)
	if err == nil {
		s.oracle.saw(id, version, time.Now())
	}
	return version, err
}

// waitLive waits until pods are in sync.
func (s *story) waitLive(ctx context.Context, pods []target) error {
	return s.waitAll(ctx, pods, readyTimeout, func(_ target, st podState, err error) bool {
		return err == nil && inSync(st)
	})
}

func inSync(st podState) bool { return st.Fresh && st.State == "live" }

// waitAll polls the state of pods until each has once been as wanted. The error names a pod that was not.
func (s *story) waitAll(
	ctx context.Context, pods []target, limit time.Duration, good func(p target, st podState, err error) bool,
) error {
	waiting := slices.Clone(pods)
	var last string
	ok, err := every(ctx, 2*time.Millisecond, limit, func() bool {
		waiting = slices.DeleteFunc(waiting, func(p target) bool {
			st, err := s.client.state(ctx, p)
			if good(p, st, err) {
				return true
			}
			last = fmt.Sprintf("%+v, error: %v", st, err)
			return false
		})
		return len(waiting) == 0
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: pod %s is not in the wanted state after %s: %s", errGaveUp, waiting[0].name, limit, last)
	}

	return err
}

// conclude prints the table. It returns errChecks if a check failed.
func (s *story) conclude(took time.Duration) error {
	fmt.Fprintln(s.out)
	s.table.write(s.out)
	fmt.Fprintln(s.out, "ms behind: the longest time after a commit for which a pod served the previous version")

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
