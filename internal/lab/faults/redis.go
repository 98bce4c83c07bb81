package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// tierKind is what stands behind the caches of a row.
type tierKind int

const (
	noTier    tierKind = iota
	redisTier          // one Redis for all pods
	movedTier          // the same behind a proxy, which can lead to another one
)

// redis is the Redis of a row.
type redis struct {
	server *redistest.Server
	proxy  *toxiproxy.Proxy // nil: none
	url    string           // as the pods are told
	atEnd  []func() error
}

func startRedis(ctx context.Context, kind tierKind) (_ *redis, err error) {
	r := &redis{}
	if r.server, err = redistest.Start(ctx, &redistest.Config{TCP: true}); err != nil {
		return nil, err
	}

	r.finally(r.server.Close)

	if r.url = r.server.URL(); kind != movedTier {
		return r, nil
	}

	zerolog.SetGlobalLevel(zerolog.Disabled)

	r.proxy = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "redis", "127.0.0.1:0", r.server.Address())
	if err := r.proxy.Start(); err != nil {
		return nil, errors.Join(err, r.close())
	}

	u, err := url.Parse(r.url)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}

	u.Host = r.proxy.Listen
	r.url = u.String()
	return r, nil
}

// replica starts a second server that copies the first, and returns when it has.
func (r *redis) replica(ctx context.Context) (*redistest.Server, error) {
	s, err := redistest.Start(ctx, &redistest.Config{ReplicaOf: r.server})
	if err != nil {
		return nil, err
	}

	r.finally(s.Close)
	ctx, cancel := context.WithTimeoutCause(ctx, livePatience, errors.New("the replica does not copy"))
	defer cancel()

	for {
		lines, err := s.Lines(ctx, "INFO", "replication")
		if err == nil && strings.Contains(strings.Join(lines, " "), "master_link_status:up") {
			return s, nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// lead makes the pods' way lead to another server. Their connections end.
func (r *redis) lead(to *redistest.Server) error {
	return r.proxy.Update(&toxiproxy.Proxy{Listen: r.proxy.Listen, Upstream: to.Address(), Enabled: true})
}

// script runs a script, which answers a number.
func (r *redis) script(ctx context.Context, text string, args ...string) (int, error) {
	answer, err := r.server.Do(ctx, append([]string{"EVAL", text, "0"}, args...)...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(answer, ":"))
	if err != nil {
		return 0, fmt.Errorf("redis: script: %w", err)
	}
	return n, nil
}

const (
	stash = "stash:"
	ours  = redistier.DefaultKeyPrefix
)

// stash copies all values that lie there, and answers how many.
func (r *redis) stash(ctx context.Context) (int, error) {
	return r.script(ctx, `for _, k in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
		redis.call('COPY', k, ARGV[2] .. k, 'REPLACE') redis.call('PERSIST', ARGV[2] .. k) end
		return #redis.call('KEYS', ARGV[2] .. '*')`, ours, stash)
}

// restore puts the copies back in the place of what lies there now.
func (r *redis) restore(ctx context.Context) (int, error) {
	return r.script(ctx, `local all = redis.call('KEYS', ARGV[1] .. '*')
		for _, k in ipairs(all) do redis.call('COPY', k, string.sub(k, #ARGV[1] + 1), 'REPLACE') end
		return #all`, stash)
}

func (r *redis) finally(f func() error) { r.atEnd = append(r.atEnd, f) }

func (r *redis) close() error {
	if r.proxy != nil {
		r.proxy.Stop()
	}
	var errs []error
	for i := len(r.atEnd) - 1; i >= 0; i-- {
		errs = append(errs, r.atEnd[i]())
	}
	return errors.Join(errs...)
}

// missingRedis is for rows that need one.
func missingRedis(options) string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "redis-server"
	}
	return ""
}

// cacheStats are those of all pods that are alive, together.
func (s *scene) cacheStats(ctx context.Context) (sum CacheStats, err error) {
	for _, m := range s.pods() {
		status, err := m.status(ctx)
		if err != nil {
			return sum, fmt.Errorf("%s: %w", m.cfg.Name, err)
		}
		sum.add(status.Cache)
	}
	return sum, nil
}

func (c *CacheStats) add(d CacheStats) {
	c.Hits += d.Hits
	c.Misses += d.Misses
	c.Bypassed += d.Bypassed
	c.Loads += d.Loads
	c.Late += d.Late
	c.Failed += d.Failed
	c.Refused += d.Refused
	c.TierHits += d.TierHits
	c.TierRefused += d.TierRefused
	c.TierErrors += d.TierErrors
	c.TierSkips += d.TierSkips
}

// tierServes waits until values from the tier are served: otherwise a row proves nothing.
func (s *scene) tierServes(ctx context.Context) error {
	before, err := s.cacheStats(ctx)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, livePatience/2, errors.New("nothing from the tier is served"))
	defer cancel()

	for {
		now, err := s.cacheStats(ctx)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if now.TierHits > before.TierHits {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// tierBefore checks that values from the tier are served before the fault.
func (s *scene) tierBefore(ctx context.Context) error {
	if s.redis == nil {
		return nil
	}
	if err := s.tierServes(ctx); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	all, err := s.cacheStats(ctx)
	s.note("%d hits in the tier before the fault", all.TierHits)
	return err
}

// tierAfter checks that they are again, after it.
func (s *scene) tierAfter(ctx context.Context) error {
	if s.redis == nil {
		return nil
	}
	if err := s.tierServes(ctx); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	return nil
}

func (c CacheStats) String() string {
	text := fmt.Sprintf("caches: %d hits, %d misses, %d bypassed, %d loads, %d not stored, %d reads not answered in time, %d failed",
		c.Hits, c.Misses, c.Bypassed, c.Loads, c.Refused, c.Late, c.Failed)
	if c.TierHits+c.TierRefused+c.TierErrors > 0 {
		text += fmt.Sprintf("; tier: %d hits, %d values refused, %d errors, %d times left alone",
			c.TierHits, c.TierRefused, c.TierErrors, c.TierSkips)
	}
	return text
}

// mend brings the server back that a fault which was cut short has left stopped or killed.
func (r *redis) mend(ctx context.Context) error {
	_ = r.server.Thaw() // it may be gone
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := r.server.Do(asking, "PING"); err == nil {
		return nil
	}
	r.server.Stop()
	return r.server.Restart(ctx)
}
