// Package gocronlock lets github.com/go-co-op/gocron/v2 run its jobs on one of several machines only, by the leases and
// elections of package lock. It is a module of its own, so that whoever does not use gocron does not depend on it.
//
// With a Locker each run of a job takes the lease of the job's name, and machines that do not get it skip the run. The
// clocks of machines differ, so a short job must hold its lease for longer than they can: give lock.Options.MinHold,
// something less than the period of the job, to the lock.Locker. With an Elector one machine runs all jobs until it
// resigns or dies.
//
// # Limits
//
// gocron gives a job no way to learn that its lease was lost while it runs. A job whose writes must not overlap with
// the next run's uses lock.Locker.Do in its function, where it gets a context and can guard its transactions.
package gocronlock
