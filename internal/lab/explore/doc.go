// Command explore searches every interleaving of small clusters, under the rules of the bus, of fills, and of the lease
// queue. In each state it takes every possible step, until there is no state that it has not visited.
//
//	go run ./internal/lab/explore            all worlds completely, then each rule's world without the rule
//	go run ./internal/lab/explore -traces    with the shortest trace in which each missing rule breaks a guarantee
//	go run ./internal/lab/explore -list      the worlds and the rules
//
// The search is breadth first over hashed states, so each trace is a shortest one. It proves that these worlds have no
// bad schedule, where a randomized test can only fail to find one.
//
// # The bus
//
// The pods' positions are the production position.Tracker. A world has one or two pods, up to three transactions on one
// row, and a budget of faults: connections that end or go silent, a crash that empties the log, a failover that loses the
// last commits and assigns their ids again, a restart, a prepared transaction that survives its event, pruning, pods that
// are paused. Time is logical: a beat is sent before or after a commit, and a pod's proof of freshness may expire at any
// moment. In every state it checks G1 and G2 (no pod may return a value that was already replaced when the beat was sent
// that proves its freshness) and G4 (no pod may return a value older than a confirmed one).
//
// # Fills
//
// What may be stored, served, joined and labelled for a tier is decided by the production code of internal/fill, with its
// memory of invalidations and its book of tags. A world has one or two pods, one key with at most one tag, two transactions
// that invalidate the key, the tag or all, and readers that call Get, GetFresh or GetAfter or begin a refresh. Each read of
// the epoch and of the position, each half of an invalidation and of a reset, and each part of a load is a step of its
// own. Pods hear of transactions in any order; the tier keeps everything, and values arrive in it late; a standby is
// behind; a failover assigns transaction ids again. In every state it checks G2 and G3: no reader gets a value that was
// replaced before the last invalidation that its pod had applied when it asked, or before the proof on which it was
// served.
//
// # The lease queue
//
// The rules are SQL. What a statement does to the rows of a key is a model, internal/lab/leasequeue; TestQueueModel in
// package lock runs the shipped statements from the states that the model reaches and compares rows and results. A world
// has two or three clients of one lease, whose statements arrive late and whose results are lost, who give up, die, and
// keep guarded transactions open, and a standby that lacks the newest grants. In every state it checks G7 (no token is
// granted while a transaction is guarded by another or a client relies on one, and guarded writes commit in the order of
// their tokens), that tokens grow, that clients are granted the lease in the order in which they came, and that from here
// each client gets it and nothing is left, if nothing else goes wrong.
//
// # Limits
//
// The worlds do not include bounded queues and tag books, forged payloads, values that expire, StaleOnError, ServeFor and
// the policy Clear; and of leases not the shared ones, semaphores, several keys at once, Steal, and sessions
// (TakeoverAfter). The randomized tests of these packages and the fault matrix do.
package main
