package robfigcronlock

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/pgcoherence/pgcoherence/lock"
)

// Prefix is the prefix of the lease keys of jobs.
const Prefix = "cron/"

// acquireTimeout bounds the attempt to take a lease: the next run is to come.
const acquireTimeout = 10 * time.Second

// Once wraps a job so that, of all machines on which it is due, one runs it and the others skip the run:
// cron.NewChain(robfigcronlock.Once(locker, "nightly")).Then(job). name is the same on all machines. If the lease
// cannot be acquired for another reason, the run is skipped, too, and the error is logged. A nil logger means
// slog.Default().
func Once(l *lock.Locker, name string, logger *slog.Logger) cron.JobWrapper {
	return func(job cron.Job) cron.Job {
		return Job(l, name, logger, func(context.Context, *lock.Lease) error {
			job.Run()
			return nil
		})
	}
}

// Job returns a job that calls fn with the lease of the job's name. An error of fn is logged. A nil logger means
// slog.Default().
func Job(l *lock.Locker, name string, logger *slog.Logger, fn func(ctx context.Context, lease *lock.Lease) error) cron.Job {
	if logger == nil {
		logger = slog.Default()
	}
	return cron.FuncJob(func() {
		if err := run(l, name, fn); err != nil && !errors.Is(err, lock.ErrHeld) {
			logger.Error("cron job failed", slog.String("job", name), slog.Any("error", err))
		}
	})
}

func run(l *lock.Locker, name string, fn func(ctx context.Context, lease *lock.Lease) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), acquireTimeout)
	lease, err := l.TryAcquire(ctx, Prefix+name)
	cancel()
	if err != nil {
		return err
	}
	defer func() { // also if fn panics: cron.Recover may be in the chain
		ctx, cancel := context.WithTimeout(context.Background(), acquireTimeout)
		defer cancel()
		err = errors.Join(err, lease.Release(ctx))
	}()
	return fn(lease.Context(), lease)
}

// Leader wraps a job so that it runs only on the machine that leads. The election's Run has to be running.
func Leader(e *lock.Election) cron.JobWrapper {
	return func(job cron.Job) cron.Job {
		return cron.FuncJob(func() {
			if e.Leads() {
				job.Run()
			}
		})
	}
}
