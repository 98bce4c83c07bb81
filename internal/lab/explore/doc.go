// Command explore searches every interleaving of small clusters under the rules of the bus. The pods' positions are the
// production position.Tracker. In each state it takes every possible step, until there is no state that it has not
// visited.
//
//	go run ./internal/lab/explore            all worlds completely, then each rule's world without the rule
//	go run ./internal/lab/explore -traces    with the shortest trace in which each missing rule breaks a guarantee
//
// A world has one or two pods, up to three transactions on one row, and a budget of faults: connections that end or go
// silent, a crash that empties the log, a failover that loses the last commits and assigns their ids again, a restart, a
// prepared transaction that survives its event, pruning, pods that are paused. Time is logical: a beat is sent before or
// after a commit, and a pod's proof of freshness may expire at any moment. In every state it checks G1 and G2 (no pod may
// return a value that was already replaced when the beat was sent that proves its freshness) and G4 (no pod may return a
// value older than a confirmed one).
//
// The search is breadth first over hashed states, so each trace is a shortest one. The randomized model in the tests of
// internal/position covers clocks, loads and many events, but can only fail to find a bad schedule. This search proves
// that these worlds have none. They do not include bounded queues and memories, forged payloads, or the lease queue, whose
// rules are SQL.
package main
