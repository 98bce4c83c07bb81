package main

import (
	"context"
	"errors"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// cacheControls are one for each guard of the cache.
func cacheControls() []control {
	slow := loadTimes{Usually: 10 * time.Millisecond, Sometimes: 300 * time.Millisecond, Often: 2}
	rarely := 60 * time.Millisecond // so that nothing soon covers up what was stored wrongly
	tiered := func(c hook.CacheGuards, name, about string, p plan, inject func(context.Context, *scene) error) control {
		p.tier = redisTier
		return control{caches: c, fault: fault{name: name, about: about, plan: p, inject: inject, missing: missingRedis}}
	}
	return []control{
		{caches: hook.CacheGuards{KeepLoads: true}, fault: fault{
			name: "KeepLoads", about: "caches: loads are slow, and invalidations come meanwhile",
			plan: plan{loads: slow, writing: rarely}, inject: lasting,
		}},
		{caches: hook.CacheGuards{KeepLoadsOnReset: true}, fault: fault{
			name: "KeepLoadsOnReset", about: "caches: loads are slow, and resets come meanwhile instead of events",
			plan:   plan{loads: loadTimes{Sometimes: 400 * time.Millisecond, Often: 1}, writing: rarely, reserved: 24},
			inject: resetWhileLoading,
		}},
		{caches: hook.CacheGuards{TagsForLater: true}, fault: fault{
			name: "TagsForLater", about: "caches: loads are slow, and their tags are invalidated meanwhile",
			plan: plan{loads: slow, writing: rarely, paths: []string{"tag", "rawtag"}}, inject: lasting,
		}},
		tiered(hook.CacheGuards{AnySnapshot: true}, "AnySnapshot", "caches: nobody deletes from the tier what is no longer valid",
			plan{paths: []string{"raw", "rawtag"}, writing: rarely}, lasting),
		tiered(hook.CacheGuards{AnyEpoch: true}, "AnyEpoch", "caches: failover of Postgres, the tier holds values of commits that are lost",
			plan{proxied: true, writing: rarely, reserved: 24}, promote),
		tiered(hook.CacheGuards{EpochLate: true}, "EpochLate", "caches: the same, and readers pause between the two looks that decide a fill",
			plan{proxied: true, writing: rarely, reserved: 24}, promote),
		tiered(hook.CacheGuards{LabelLate: true}, "LabelLate", "caches: invalidations come just before a value goes to the tier",
			plan{
				loads: loadTimes{Usually: 2 * time.Millisecond}, reading: 30 * time.Millisecond, writing: 30 * time.Millisecond,
				paths: []string{"tx", "tag"},
			}, for3(lasting)),
	}
}

// for3 is a fault that lasts three times as long.
func for3(inject func(context.Context, *scene) error) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		return errors.Join(inject(ctx, s), inject(ctx, s), inject(ctx, s))
	}
}
