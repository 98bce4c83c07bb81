// Package recovery checks bus, cache, sessions and leases through the recoveries that operators make, on real servers
// with the programs that they use: point-in-time recovery from an archive, pg_basebackup, pg_upgrade to another major
// version, dumps, Patroni with etcd, and HAProxy with short time-outs. It consists of tests, which run where
// PGCOHERENCE_RECOVERY is set, as by make test-recovery; elsewhere they say what was not tested.
//
// Each recovery has the same parts. Pods, each with a pool, a bus, a cache, a session store and a locker, work on the old
// server: they write, log in, revoke, and take leases. Then comes the recovery point; what is done after it is lost where
// the recovery goes back in time. Then comes the recovery, while pods run and read all the time, and finally the pods
// and one that has started since are asked. A ledger notes what this process knows and judges every response:
//
//   - a value is stale beyond the bound if a newer one was known to be committed, or the value itself was lost with its
//     timeline, for longer than StaleAfter;
//   - a session is back if it was revoked, or lost, for longer than that and a pod lets it in;
//   - a session is refused if it was never revoked and a pod refuses it after the recovery;
//   - a token went back if it is not larger than all that were granted before, by any pod in any timeline;
//   - a lease is kept if it was granted after the recovery point and its owner is not told that it is lost;
//   - an event is missing if a pod publishes it after the recovery and another pod does not receive it.
//
// The control plays the point-in-time recovery with the guards off, and requires that each of these is found.
//
// # Limits
//
//   - The pods are parts of one process. That pods die is what internal/lab/faults is for.
//   - Patroni has two servers and etcd one: what is tested is what a failover does to pods, not how it is agreed on.
package recovery
