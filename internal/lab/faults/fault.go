package main

import "context"

// fault is one row of the matrix.
type fault struct {
	name  string
	about string
	plan  plan
	// inject brings the fault about while the load goes on, and heals it. An error is one of the row: what it was to
	// bring about did not come about, or what the row promises besides its zeros does not hold.
	inject func(ctx context.Context, s *scene) error
	// needs is the major version of Postgres that the row needs; 0: any.
	needs int
	// missing says what this machine lacks for the row; empty: nothing.
	missing func(options) string
	// lock makes it a row about leases instead of caches.
	lock *lockPlan
	// session makes it a row about sessions.
	session *sessionPlan
}

// faults are all rows, in the order of the table.
func faults() []fault {
	var all []fault
	for _, some := range [][]fault{
		connectionFaults(), networkFaults(), serverFaults(), logFaults(), podFaults(), loadFaults(), subscriberFaults(),
		channelFaults(), placeFaults(), clockFaults(), tierFaults(), versionFaults(), lockFaults(), sessionFaults(),
	} {
		all = append(all, some...)
	}
	return all
}
