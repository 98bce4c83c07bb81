// Command explore goes through every interleaving of small clusters on the rules that the bus runs on: the pods'
// positions are position.Tracker itself, and what may come next at each moment is tried, step by step, until no state is
// left that was not seen.
//
//	go run ./internal/lab/explore            all worlds whole, then each world with one rule off
//	go run ./internal/lab/explore -traces    with the shortest way in which each missing rule breaks a guarantee
//
// A world has one or two pods, up to three transactions of one row, and a budget of faults: connections that end or go
// deaf, a crash that takes the log, a failover that takes the last commits and gives their ids again, a restart, a
// prepared transaction that survives its event, pruning, pods that stand still. Time is a count of what matters: a beat
// is sent before or after a commit, and a pod's trust runs out at any moment. Checked in every state are G1 and G2 (no
// pod may return a value that had been replaced when the beat was sent that proves its freshness) and G4 (none may
// return a value older than one that was confirmed).
//
// The search is breadth first over hashed states, so a trace is as short as there is one. It differs from the randomized
// model in internal/position's tests in what it can say: that goes far with clocks, loads and many events, and shows
// that no schedule was found; this shows that there is none in these worlds. Not in them: bounded queues and memories,
// forged payloads, and the lease queue, whose rules are SQL.
package main
