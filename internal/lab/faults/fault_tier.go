package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// tierFaults happen with a Redis behind the caches, most of them to it. Whatever it loses, keeps or brings back: nothing
// stale may be served.
func tierFaults() []fault {
	row := func(name, about string, p plan, inject func(context.Context, *scene) error) fault {
		if p.tier == noTier {
			p.tier = redisTier
		}
		return fault{name: name, about: about, plan: p, inject: inject, missing: missingRedis}
	}
	return []fault{
		row("redis-none", "with a Redis behind the caches nothing happens", plan{}, lasting),
		row("redis-slow-loads", "loads take up to half a second: what they bring is often overtaken",
			plan{loads: loadTimes{Usually: 20 * time.Millisecond, Sometimes: 500 * time.Millisecond, Often: 8}}, lasting),
		row("redis-killed", "SIGKILL of Redis, which comes back empty, three times", plan{}, killRedis),
		row("redis-flushed", "FLUSHALL, again and again", plan{}, flush),
		row("redis-stopped", "SIGSTOP of Redis: everything sent to it falls into a black hole", plan{}, freezeRedis),
		row("redis-failover", "failover to a replica that lacks the last second: old values come back", plan{tier: movedTier}, moveRedis),
		row("redis-replica", "the way to Redis leads to a replica, which takes no writes and is a second behind", plan{tier: movedTier}, toReplica),
		row("redis-restored", "old values come back, again and again", plan{}, restoreOften),
		row("redis-junk", "junk, other keys' values, parts of values and values of another type under our keys", plan{}, junkValues),
		row("redis-publisher-killed", "SIGKILL of a pod between its commit and the announcement, three times; loads are slow",
			plan{loads: loadTimes{Usually: 10 * time.Millisecond, Sometimes: 200 * time.Millisecond, Often: 4}}, killPublishers),
		row("redis-crash", "SIGKILL of all of Postgres: Redis holds values from before the new log", plan{}, refusing(crashed)),
		row("redis-promote", "failover of Postgres: Redis holds values of commits that are lost", plan{proxied: true, reserved: 24}, refusing(promote)),
		row("redis-late-pod", "pods start while Redis is full of old values, three times", plan{}, latePods),
	}
}

// refusing checks that a fault leads to values that are refused: otherwise nothing was tested.
func refusing(inject func(context.Context, *scene) error) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		before, err := s.cacheStats(ctx)
		if err != nil {
			return err
		}
		if err := inject(ctx, s); err != nil {
			return err
		}
		if err := s.awaitLive(ctx); err != nil {
			return err
		}
		return s.refused(ctx, before)
	}
}

// refused waits until values of the tier have been refused since.
func (s *scene) refused(ctx context.Context, before CacheStats) error {
	ctx, cancel := context.WithTimeoutCause(ctx, livePatience/2, errors.New("no value of the tier was refused: nothing was tested"))
	defer cancel()

	for {
		now, err := s.cacheStats(ctx)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}

		if n := now.TierRefused - before.TierRefused; n > 0 {
			s.note("%d values of the tier refused by the end of the fault", n)
			return nil
		}

		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// answering checks that no read failed during a fault of the tier: its troubles are nobody else's.
func (s *scene) answering(ctx context.Context, before CacheStats) error {
	after, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}
	if n := after.Failed - before.Failed; n > 0 {
		return fmt.Errorf("%d reads failed while only Redis was in trouble", n)
	}
	return nil
}

func killRedis(ctx context.Context, s *scene) error {
	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}

	for range 3 {
		s.redis.server.Stop()

		if err := pause(ctx, s.options.duration/4); err != nil {
			return err
		}
		if err := s.redis.server.Restart(ctx); err != nil {
			return err
		}

		s.healed()

		if err := s.tierServes(ctx); err != nil {
			return err
		}
	}

	return s.answering(ctx, before)
}

func flush(ctx context.Context, s *scene) error {
	for end := time.Now().Add(s.options.duration); time.Now().Before(end); {
		if _, err := s.redis.server.Do(ctx, "FLUSHALL"); err != nil {
			return err
		}
		if err := pause(ctx, 30*time.Millisecond); err != nil {
			return err
		}
	}
	s.healed()
	return nil
}

func freezeRedis(ctx context.Context, s *scene) error {
	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}

	for range 2 {
		if err := s.redis.server.Freeze(); err != nil {
			return err
		}

		err := s.last(ctx)
		s.healed()

		if err := errors.Join(err, s.redis.server.Thaw()); err != nil {
			return err
		}
		if err := s.tierServes(ctx); err != nil {
			return err
		}
	}

	return s.answering(ctx, before)
}

// stalled copies the Redis, and stops the copying: for a second all goes on without the copy.
func (s *scene) stalled(ctx context.Context) (copied func() error, err error) {
	replica, err := s.redis.replica(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := replica.Do(ctx, "REPLICAOF", "NO", "ONE"); err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	return func() error { return s.redis.lead(replica) }, nil
}

// moveRedis fails over to a copy that lacks the last second.
func moveRedis(ctx context.Context, s *scene) error {
	move, err := s.stalled(ctx)
	if err != nil {
		return err
	}

	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}
	if err := move(); err != nil {
		return err
	}

	s.healed()

	if err := s.refused(ctx, before); err != nil {
		return err
	}

	return s.last(ctx)
}

// toReplica lets the pods' way lead to a replica whose primary nobody writes to any more, and back.
func toReplica(ctx context.Context, s *scene) error {
	replica, err := s.redis.replica(ctx)
	if err != nil {
		return err
	}

	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}
	if err := s.redis.lead(replica); err != nil {
		return err
	}
	if err := s.refused(ctx, before); err != nil {
		return err
	}
	if err := s.last(ctx); err != nil {
		return err
	}

	after, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}
	if after.TierErrors == before.TierErrors {
		return errors.New("the replica took all writes")
	}

	s.healed()
	return s.redis.lead(s.redis.server)
}

// restoreOften brings back what lay there at the start.
func restoreOften(ctx context.Context, s *scene) error {
	if n, err := s.redis.stash(ctx); err != nil || n == 0 {
		return fmt.Errorf("%d values to be brought back: %w", n, err)
	}
	if err := s.last(ctx); err != nil {
		return err
	}

	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}

	for end := time.Now().Add(s.options.duration); time.Now().Before(end); {
		if _, err := s.redis.restore(ctx); err != nil {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}

	s.healed()
	return s.refused(ctx, before)
}

// junkValues writes what is none of ours under our keys, faster than the pods write what is.
func junkValues(ctx context.Context, s *scene) error {
	const write = `local key, kind = redis.call('KEYS', ARGV[1] .. '*:' .. ARGV[2])[1], ARGV[4]
		local other = redis.call('KEYS', ARGV[1] .. '*:' .. ARGV[3])[1]
		if not key then return 0 end
		local value = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) or ''
		redis.call('DEL', key)
		if kind == '0' then redis.call('SET', key, '')
		elseif kind == '1' then redis.call('SET', key, 'junk')
		elseif kind == '2' then redis.call('RPUSH', key, 'junk')
		elseif kind == '3' then redis.call('SET', key, string.sub(value, 1, math.random(0, math.max(#value - 1, 0))))
		elseif kind == '4' then redis.call('SET', key, '\9' .. string.sub(value, 2))
		elseif kind == '5' then redis.call('SET', key, string.rep('\1\255', 2000))
		elseif other then redis.call('COPY', other, key, 'REPLACE') end
		return 1`

	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}

	n, written := 0, 0
	for end := time.Now().Add(s.options.duration); time.Now().Before(end); n++ {
		key, other := n*7%s.keys, (n*11+5)%s.keys
		name := func(key int) string { return string(dataKey) + strconv.Itoa(key) }
		once, err := s.redis.script(ctx, write, ours, name(key), name(other), strconv.Itoa(n%7))
		if err != nil {
			return err
		}

		written += once

		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}

	s.healed()

	if written == 0 {
		return errors.New("no pod's value was in the tier when junk was to take its place")
	}

	s.note("%d pieces of junk in the place of values", written)
	return s.answering(ctx, before)
}

// latePods starts pods, each while all that lies in Redis is old.
func latePods(ctx context.Context, s *scene) error {
	for range 3 {
		if n, err := s.redis.stash(ctx); err != nil || n == 0 {
			return fmt.Errorf("%d values to be brought back: %w", n, err)
		}
		if err := pause(ctx, s.options.duration/2); err != nil {
			return err
		}
		if err := s.latePod(ctx); err != nil {
			return err
		}
	}
	s.healed()
	return nil
}

// latePod starts a pod, and keeps what is old where it is until that has read it all.
func (s *scene) latePod(ctx context.Context) error {
	restoring, stop := context.WithCancel(ctx)
	defer stop()

	s.load.running.Go(func() {
		for restoring.Err() == nil {
			_, _ = s.redis.restore(restoring) // an error is told by what is not refused
			_ = pause(restoring, 20*time.Millisecond)
		}
	})

	m, err := s.startPod()
	if err != nil {
		return err
	}
	if err := s.awaitLive(ctx); err != nil {
		return err
	}

	refused, cancel := context.WithTimeoutCause(ctx, livePatience/2, errors.New("the new pod refused nothing: nothing was tested"))
	defer cancel()

	for {
		status, err := m.status(refused)
		if err != nil {
			return errors.Join(context.Cause(refused), err)
		}

		if status.Cache.TierRefused > 0 {
			s.note("%s: %v", m.cfg.Name, status.Cache)
			return pause(ctx, s.options.duration/4)
		}

		if err := pause(refused, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
