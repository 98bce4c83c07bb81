package main

import (
	"context"
	"fmt"
	"time"
)

// watchInterval is how often stayUp checks for dead pods.
const watchInterval = 200 * time.Millisecond

// stayUp keeps everything running until ctx ends, and restarts pods that die.
func (s *story) stayUp(ctx context.Context) error {
	if err := s.db.trigger(ctx, true); err != nil {
		return err
	}

	s.printAddresses()

	for sleep(ctx, watchInterval) == nil {
		for _, name := range s.pods.names {
			if _, alive := s.pods.target(name); alive {
				continue
			}
			fmt.Fprintf(s.out, "pod %s is dead, restarting it\n", name)
			if err := s.pods.start(ctx, name); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}

	fmt.Fprintln(s.out, "\nCleaning up.")
	return nil
}

func (s *story) printAddresses() {
	pods := s.pods.alive()
	fmt.Fprintf(s.out, "\nEverything stays up until Ctrl-C. The trigger is on. Try:\n\n")

	for _, line := range [][2]string{
		{"read, round robin", "curl -s " + s.front.url() + "/accounts/" + probeAccount},
		{"write, round robin", "curl -s -X POST '" + s.front.url() + "/accounts/" + probeAccount + "?amount=5'"},
	} {
		fmt.Fprintf(s.out, "   %-20s %s\n", line[0], line[1])
	}

	for _, p := range pods {
		fmt.Fprintf(s.out, "   %-20s curl -s %s/accounts/%s\n", "read on "+p.name, p.url(), probeAccount)
	}

	last := pods[len(pods)-1]
	fmt.Fprintf(s.out, "   %-20s curl -s -X POST '%s/accounts/%s?die=1'\n", last.name+" dies after commit", last.url(), probeAccount)
	fmt.Fprintf(s.out, "   %-20s curl -s %s/status\n", "state of "+pods[0].name, pods[0].url())
	fmt.Fprintf(s.out, "   %-20s open %s%s in a browser; the token is %s\n", "live page", pods[0].url(), statusPath, s.pods.token)

	if s.db.ownedDSN { // never print a password that this program did not make
		fmt.Fprintf(s.out, "   %-20s psql '%s' -c \"UPDATE account SET balance = 0 WHERE id = '%s'\"\n", "write in SQL", s.db.DSN, probeAccount)
	}

	fmt.Fprintln(s.out)
}
