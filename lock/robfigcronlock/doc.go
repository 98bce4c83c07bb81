// Package robfigcronlock makes github.com/robfig/cron/v3 run each job on only one of several machines, with the
// leases and elections of package lock. It is a module of its own, so that only its users depend on robfig/cron.
//
// With [Once] each run of a job acquires the lease of the job's name, and machines that do not get it skip the run.
// Because the clocks of machines differ, a short job must hold its lease for longer than they can differ: set
// lock.Options.MinHold of the lock.Locker to a little less than the period of the job. With [Leader] the machine that
// leads runs all jobs. [Job] does what Once does, and passes the lease to the function, which can guard its
// transactions with it, and a context that ends when the lease is lost.
package robfigcronlock
