// Package robfigcronlock lets github.com/robfig/cron/v3 run its jobs on one of several machines only, by the leases and
// elections of package lock. It is a module of its own, so that whoever does not use robfig/cron does not depend on it.
//
// With Once each run of a job takes the lease of the job's name, and machines that do not get it skip the run. The clocks of
// machines differ, so a short job must hold its lease for longer than they can: give lock.Options.MinHold, something less
// than the period of the job, to the lock.Locker. With Leader the machine that leads runs all jobs. Job does what Once does
// and gives the function the lease, to guard its transactions with, and a context that ends when the lease is lost.
package robfigcronlock
