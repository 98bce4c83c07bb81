// Package gocronlock makes github.com/go-co-op/gocron/v2 run each job on only one of several machines, with the
// leases and elections of package lock. It is a module of its own, so that only its users depend on gocron.
//
// With a [Locker] each run of a job acquires the lease of the job's name, and machines that do not get it skip the
// run. Because the clocks of machines differ, a short job must hold its lease for longer than they can differ: set
// lock.Options.MinHold of the lock.Locker to a little less than the period of the job. With an [Elector] one machine
// runs all jobs until it resigns or dies.
//
// # Limits
//
// gocron cannot notify a running job of the loss of its lease. A job whose writes must not overlap with those of the
// next run should use lock.Locker.Do in its function, where it gets a context and can guard its transactions.
package gocronlock
