package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// sessionFaults are faults under sessions: whoever was ended is let in by nobody after the bound, and never comes back.
func sessionFaults() []fault {
	row := func(name, about string, p plan, inject func(context.Context, *scene) error) fault {
		f := fault{name: name, about: "sessions: " + about, plan: p, inject: inject, session: &sessionPlan{}}
		if p.tier != noTier {
			f.missing = missingRedis
		}
		return f
	}

	proxied := plan{proxied: true}
	with := func(f fault, p sessionPlan) fault {
		f.session = &p
		return f
	}
	skewed := row("session-skew", "the pods' clocks are an hour behind the server's", plan{clock: true, before: ahead(time.Hour)}, lasting)
	skewed.missing = missingClock
	return []fault{
		row("session-none", "nothing happens", plan{}, lasting),
		with(row("session-planted", "sessions become other users' while the passwords of both are changed", plan{}, lasting), sessionPlan{plant: true}),
		with(row("session-forgotten", "users are deleted and their ids given again", plan{}, lasting), sessionPlan{forget: true}),
		with(row("session-breach", "the sessions of all users are ended, again and again, and users deleted", plan{}, lasting), sessionPlan{breach: true}),
		row("session-terminated", "pg_terminate_backend, any connection again and again, then all at once", plan{}, terminate("true")),
		row("session-listen-cut", "the listening connections of two pods fall into a black hole", proxied,
			poisoned(1, []path{listenPath}, blackHole(upstream), blackHole(downstream))),
		row("session-blackhole", "everything of two pods falls into a black hole", proxied,
			poisoned(1, allPaths, blackHole(upstream), blackHole(downstream))),
		row("session-deaf", "the answers of commits are lost, again and again", proxied, deafen),
		row("session-sigstop", "SIGSTOP of a pod for longer than StaleAfter, and on, twice", plan{}, stopKeepers),
		row("session-sigkill", "SIGKILL of a pod, three times", plan{}, killKeepers),
		row("session-postmaster-sigkill", "SIGKILL of all of Postgres, recovery", plan{}, crashed),
		skewed,
		row("session-redis-restored", "old values come back in the Redis behind the stores, again and again", plan{tier: redisTier}, restoreOften),
		row("session-redis-forged", "somebody writes other users' names into the Redis behind the stores, and moves values to other keys",
			plan{tier: redisTier}, forgeOften),
		row("session-redis-crash", "SIGKILL of all of Postgres: Redis holds values from before the new log", plan{tier: redisTier}, refusing(crashed)),
	}
}

// sessionControls are one for each guard of the store, and some for those that it stands on.
func sessionControls() []control {
	row := func(name, about string, p plan, inject func(context.Context, *scene) error, raises func(*sessionTally) count) control {
		c := control{raises: raises, fault: fault{
			name: name, about: "sessions: " + about, plan: p, inject: inject, session: &sessionPlan{},
		}}
		if p.tier != noTier {
			c.missing = missingRedis
		}
		return c
	}

	guard := func(g hook.SessionGuards, c control) control {
		c.sessions = g
		return c
	}
	ended := func(t *sessionTally) count { return t.ended }

	// What was let in after its end was confirmed need not have lasted for the bound: writes find out as well.
	stale := func(t *sessionTally) count { return count{t.ended.bad + t.untrue.bad, t.ended.of + t.untrue.of} }
	cut := poisoned(1, []path{listenPath}, blackHole(upstream), blackHole(downstream))

	// Answers of the pools take a while, so that notifications overtake what was read.
	slow := toxic{Type: "latency", Stream: downstream, Attributes: map[string]int{"latency": 60}}
	late := row("SessionKeepLoads", "what was read arrives late, and the ends of sessions before it", plan{proxied: true},
		poisoned(0, []path{poolPath}, slow), stale)
	late.session.fresh = 1000 // that would cover it up
	late.caches.KeepLoads = true
	late.caches.TagsForLater = true
	deaf := plan{proxied: true, tune: func(_ int, c *podConfig) { c.Timing.Probe = 3 * time.Second }}
	fresh := row("SessionFreshWithoutBeat", "notifications fall into a black hole, everything else arrives", deaf, cut, ended)
	fresh.session.fresh = 1000 // as above
	fresh.guards.FreshWithoutBeat = true
	snapshot := row("SessionAnySnapshot", "old values come back in the Redis behind the stores", plan{tier: redisTier}, restoreOften, ended)
	snapshot.caches.AnySnapshot = true
	tells := row("SessionTells", "pods log the tokens that they are asked about", plan{}, lasting, func(t *sessionTally) count { return t.leaks })
	tells.tells = true
	void := func(t *sessionTally) count { return count{t.ended.bad + t.revived.bad, t.ended.of + t.revived.of} }

	// A login that comes through too late shows at once, or when its session is let in.
	alive := func(t *sessionTally) count {
		return count{t.late.bad + t.ended.bad + t.revived.bad + t.untrue.bad, t.late.of + t.ended.of + t.revived.of + t.untrue.of}
	}
	with := func(c control, p sessionPlan) control {
		c.session = &p
		return c
	}
	return []control{
		guard(hook.SessionGuards{CountGenerations: true}, with(row("CountGenerations", "sessions become other users' while the passwords of both are changed",
			plan{}, lasting, void), sessionPlan{plant: true})),
		guard(hook.SessionGuards{CountGenerations: true}, with(row("CountAgain", "users are deleted and their ids given again",
			plan{}, lasting, void), sessionPlan{forget: true})),
		guard(hook.SessionGuards{LoginsOutliveAll: true}, with(row("LoginsOutliveAll", "the sessions of all users are ended during logins",
			plan{}, lasting, alive), sessionPlan{breach: true})),
		guard(hook.SessionGuards{LoginLate: true}, row("LoginLate", "passwords are changed during logins", plan{}, lasting,
			func(t *sessionTally) count { return t.late })),
		guard(hook.SessionGuards{BlindSave: true}, row("BlindSave", "many save the same sessions", plan{}, lasting,
			func(t *sessionTally) count { return t.vanished })),
		guard(hook.SessionGuards{SaveEnded: true}, row("SaveEnded", "pods that do not know yet save sessions that are over", deaf, blink,
			func(t *sessionTally) count { return t.revived })),
		guard(hook.SessionGuards{TakeAgain: true}, row("TakeAgain", "many take the same one-time values", plan{}, lasting,
			func(t *sessionTally) count { return t.twice })),
		guard(hook.SessionGuards{KeepExpired: true}, row("KeepExpired", "sessions reach their deadlines in memory", plan{}, lasting,
			func(t *sessionTally) count { return t.overdue })),
		guard(hook.SessionGuards{Graceful: true}, row("Graceful", "tokens that somebody may have planted are used after the login", plan{}, lasting,
			func(t *sessionTally) count { return t.mixed })),
		guard(hook.SessionGuards{TierOpen: true}, row("TierOpen", "somebody writes other users' names into the Redis behind the stores",
			plan{tier: redisTier}, forgeOften, func(t *sessionTally) count { return t.mixed })),
		late, fresh, snapshot, tells,
	}
}

// forgeOften writes another user's name into whatever lies in Redis, and swaps values, again and again.
func forgeOften(ctx context.Context, s *scene) error {
	const forge = `local n, last, before = 0, nil, nil
		for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
			local value = redis.call('GET', key)
			local forged, hits = string.gsub(value, '"user":"user%-%d', '"user":"user-' .. ARGV[2])
			if hits == 0 and last and tonumber(ARGV[2]) % 2 == 0 then
				redis.call('SET', last, value, 'KEEPTTL')
				forged = before
			end
			redis.call('SET', key, forged, 'KEEPTTL')
			last, before, n = key, value, n + 1
		end
		return n`

	written := 0
	for end := time.Now().Add(s.options.duration); time.Now().Before(end); {
		n, err := s.redis.script(ctx, forge, ours, strconv.Itoa(written%10))
		if err != nil {
			return err
		}

		written += n

		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}

	if written == 0 {
		return errors.New("nothing lay in Redis to be forged")
	}

	s.healed()
	s.note("%d forged values written", written)
	return nil
}

// blink cuts the listening connections of two pods off for a little less than StaleAfter, again and again: they are fresh
// and behind.
func blink(ctx context.Context, s *scene) error {
	for range 5 {
		for _, l := range s.links[1:] {
			if err := l.poison(listenPath, blackHole(downstream)); err != nil {
				return err
			}
		}

		err := pause(ctx, s.timing.StaleAfter*8/10)

		for _, l := range s.links {
			l.heal(context.WithoutCancel(ctx))
		}

		if err = errors.Join(err, s.awaitLive(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// ahead sets the server's clock before the pods start.
func ahead(difference time.Duration) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		return errors.Join(s.stepped.set(difference), s.told(ctx, difference))
	}
}

// stopKeepers stops one pod after the other for longer than its sessions may be believed.
func stopKeepers(ctx context.Context, s *scene) error {
	for i := range 2 {
		m := s.pods()[i]
		if err := m.freeze(); err != nil {
			return err
		}
		err := s.last(ctx)
		s.healed()
		m.thaw()
		if err = errors.Join(err, pause(ctx, 300*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// killKeepers kills a pod, and starts another.
func killKeepers(ctx context.Context, s *scene) error {
	for range 3 {
		s.pods()[0].kill()
		s.healed()

		m, err := s.startPod()
		if err != nil {
			return err
		}
		if err := s.awaitLive(ctx); err != nil {
			return err
		}

		s.keeping.ask(m)

		if err := pause(ctx, s.options.duration/4); err != nil {
			return err
		}
	}
	return nil
}
