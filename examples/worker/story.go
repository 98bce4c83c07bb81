package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/lock"
)

// errChecks is the end of a story in which not all came out as it must; what did not has been printed.
var errChecks = errors.New("not all came out as it must")

// tell plays the story with Guard and without.
func tell(ctx context.Context, db *database, o options, out io.Writer) error {
	begun := time.Now()
	failed := 0
	for i, unguarded := range []bool{false, true} {
		title := "With Guard in every transaction"
		if unguarded {
			title = "The same without Guard"
		}

		fmt.Fprintf(out, "\n%d. %s\n", i+1, title)

		s, err := playRun(ctx, db, unguarded, o.log, out)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(title), err)
		}

		fmt.Fprintln(out)

		if err := s.print(out); err != nil {
			return err
		}

		verdict, ok := s.verdict(unguarded)
		if !ok {
			failed++
			verdict = "FAILED: " + verdict
		}

		fmt.Fprintf(out, "\n   %s\n", verdict)
	}

	if failed > 0 {
		return errChecks
	}

	fmt.Fprintf(out, "\nBoth came out as they must, in %.0f s: with Guard no job was written by two owners, without it some were.\n",
		time.Since(begun).Seconds())
	return nil
}

// stops is how often a worker is stopped until it stands in the middle of a job: most often the first time.
const stops = 10

// playRun plays the story once, and returns what the table of jobs looks like afterwards.
func playRun(ctx context.Context, db *database, unguarded bool, log, out io.Writer) (*summary, error) {
	say := func(format string, args ...any) { fmt.Fprintf(out, "   "+format+"\n", args...) }
	c, err := startCrew(ctx, db, unguarded, log)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := c.everyShardOwned(ctx); err != nil {
		return nil, err
	}
	var pids []string
	for _, p := range c.members {
		pids = append(pids, fmt.Sprintf("%s (process %d)", p.Name, p.PID()))
	}
	say("Workers %s take turns: every shard has an owner.", strings.Join(pids, ", "))

	victim, err := c.busiest(ctx)
	if err != nil {
		return nil, err
	}
	victim.Kill()
	owned, err := c.ownedBy(ctx, victim.Name)
	if err != nil {
		return nil, err
	}
	took, err := c.takenOver(ctx, owned)
	if err != nil {
		return nil, err
	}
	say("kill -9 %s, which owned %s: others work on after %.1f s. A lease lasts %v.", victim.Name, list(owned), took.Seconds(), leaseTTL)

	for range stops {
		if came, err := c.pauseOne(ctx, say); err != nil || came {
			if err != nil {
				return nil, err
			}
			break
		}
		say("It was between two jobs. Once more.")
	}
	c.stop()
	return summarize(ctx, db)
}

// pauseOne stops a worker until others have done its work, lets it go on, and reports whether it then tried to write.
func (c *crew) pauseOne(ctx context.Context, say func(string, ...any)) (came bool, err error) {
	if err := c.everyShardOwned(ctx); err != nil {
		return false, err
	}

	p, err := c.busiest(ctx)
	if err != nil {
		return false, err
	}
	if err := p.Freeze(); err != nil {
		return false, err
	}

	owned, err := c.ownedBy(ctx, p.Name)
	if err == nil {
		var took time.Duration
		if took, err = c.takenOver(ctx, owned); err == nil && len(owned) > 0 {
			say("SIGSTOP %s, which owned %s: others have done the job it was at after %.1f s.", p.Name, list(owned), took.Seconds())
		}
	}

	twice, refused, countErr := c.db.outcome(ctx)
	if err = errors.Join(err, countErr, p.Thaw()); err != nil || len(owned) == 0 {
		return false, err
	}

	came, err = c.speaks(ctx, twice+refused)
	if came && c.unguarded {
		say("SIGCONT %s: it goes on where it stood, and writes what others have written.", p.Name)
	} else if came {
		say("SIGCONT %s: it goes on where it stood, and Guard refuses what it writes.", p.Name)
	}

	return came, err
}

// speaks waits for a write, or the refusal of one, by a worker that goes on after a stop. It has at most a job's time to
// go; the rest is for a busy machine.
func (c *crew) speaks(ctx context.Context, before int) (bool, error) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		twice, refused, err := c.db.outcome(ctx)
		if err != nil || twice+refused > before {
			return err == nil, err
		}
	}
	return false, ctx.Err()
}

// list names shards.
func list(owned map[int]lock.Info) string {
	var all []string
	for _, shard := range slices.Sorted(maps.Keys(owned)) {
		all = append(all, strconv.Itoa(shard))
	}
	switch len(all) {
	case 0:
		return "no shard"
	case 1:
		return "shard " + all[0]
	}
	return "shards " + strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// stayUp runs workers to try things with, until ctx ends.
func stayUp(ctx context.Context, db *database, o options, out io.Writer) error {
	c, err := startCrew(ctx, db, o.unguarded, o.log)
	if err != nil {
		return err
	}
	defer c.stop()

	fmt.Fprintf(out, "\nTry kill -9, kill -STOP and kill -CONT on the workers; a lease lasts %v. Ctrl-C ends all.\n", leaseTTL)

	for _, p := range c.members {
		fmt.Fprintf(out, "   worker %s: process %d\n", p.Name, p.PID())
	}

	fmt.Fprintln(out, "   one in Python beside them: python3 examples/worker/worker.py DSN")

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second):
		}

		s, err := summarize(ctx, db)
		if err != nil {
			return err
		}

		fmt.Fprintln(out)

		if err := s.print(out); err != nil {
			return err
		}
	}
}
