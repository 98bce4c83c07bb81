package redistier

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/pgcoherence/pgcoherence/cache"
)

// maxDetached bounds the commands that run on goroutines of the Tier.
const maxDetached = 256

// maxUnlink is how many keys go into one command: while it runs, the server does nothing else.
const maxUnlink = 500

// Tier is a cache.Tier in Redis. All methods are safe for concurrent use.
type Tier struct {
	cfg      Config
	options  rueidis.ClientOption
	seed     maphash.Seed
	lanes    []*lane
	theirs   *link       // of FromClient; there are no lanes then
	single   atomic.Bool // the server is known to be one on its own, so all lanes lead to it
	detached chan struct{}

	life  context.Context // ends with Close
	end   context.CancelFunc
	ended atomic.Bool // the same, quicker to read

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

var _ cache.Tier = (*Tier)(nil)

// New returns a Tier. It does no I/O: the first call connects. Call Close when its caches are no longer used.
func New(cfg *Config) (*Tier, error) {
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	options, err := c.options()
	if err != nil {
		return nil, err
	}

	t := newTier(c)
	t.options = options

	// Sentinels name one server, to which rueidis makes the connections itself.
	n := c.PoolSize
	if options.Sentinel.MasterSet != "" {
		n = 1
	}
	for i := range n {
		t.lanes = append(t.lanes, newLane(t, i == 0))
	}
	return t, nil
}

// FromClient returns a Tier on a client of the caller, which Close does not close. It uses KeyPrefix, MaxValueSize
// and Logger of cfg, and DialTimeout and ReadTimeout, whose sum bounds a command. Such a client dials, retries, and
// handles invalid replies as rueidis does: a malformed reply can end the process.
func FromClient(client rueidis.Client, cfg *Config) (*Tier, error) {
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if client == nil {
		return nil, fmt.Errorf("%w: client is nil", ErrConfig)
	}

	if c.DialTimeout == 0 {
		c.DialTimeout = DefaultDialTimeout
	}

	t := newTier(c)
	t.theirs = &link{tier: t, client: client}
	return t, nil
}

func newTier(c Config) *Tier {
	t := &Tier{cfg: c, seed: maphash.MakeSeed(), detached: make(chan struct{}, maxDetached)}
	t.life, t.end = context.WithCancel(context.Background())
	return t
}

// Get returns a copy of the value of a key, or cache.ErrTierMiss.
func (t *Tier) Get(ctx context.Context, key string) ([]byte, error) {
	key = t.cfg.KeyPrefix + key
	ctx, cancel := t.bounded(ctx)
	defer cancel()

	to, err := t.connected(ctx, t.lane(key))
	if err != nil {
		return nil, fmt.Errorf("redistier: get: %w", err)
	}
	result, err := to.one(ctx, to.client.B().Get().Key(key).Build())
	if err != nil {
		return nil, fmt.Errorf("redistier: get: %w", err)
	}

	message, err := result.ToMessage()
	if rueidis.IsRedisNil(err) {
		return nil, cache.ErrTierMiss
	}
	if err != nil {
		return nil, fmt.Errorf("redistier: get: %w", err)
	}

	value, err := valueOf(&message)
	if err != nil {
		return nil, fmt.Errorf("redistier: get: %w", err)
	}
	return value, nil
}

// Set stores a value for ttl, rounded up to whole milliseconds. The caller may change value afterwards.
func (t *Tier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := t.refuses(value, ttl); err != nil {
		return err
	}

	key = t.cfg.KeyPrefix + key
	text := string(value) // a copy: a caller that leaves may change the value before it is sent
	ctx, cancel := t.bounded(ctx)
	defer cancel()

	to, err := t.connected(ctx, t.lane(key))
	var result rueidis.RedisResult
	if err == nil {
		result, err = to.one(ctx, to.client.B().Set().Key(key).Value(text).PxMilliseconds(milliseconds(ttl)).Build())
	}
	if err == nil {
		err = wantText(result, "OK")
	}

	if err != nil {
		t.readOnly(err)
		return fmt.Errorf("redistier: set: %w", err)
	}
	return nil
}

// Delete removes keys; missing keys are not an error. If it fails, it may have removed some.
func (t *Tier) Delete(ctx context.Context, keys ...string) error {
	ctx, cancel := t.bounded(ctx)
	defer cancel()

	var errs []error
	for at, group := range t.grouped(keys) {
		for len(group) > 0 {
			n := min(len(group), maxUnlink)
			if err := t.unlink(ctx, at, group[:n]); err != nil {
				errs = append(errs, err)
				break
			}
			group = group[n:]
		}
	}

	if err := errors.Join(errs...); err != nil {
		t.readOnly(err)
		return fmt.Errorf("redistier: delete: %w", err)
	}
	return nil
}

func (t *Tier) unlink(ctx context.Context, at *lane, keys []string) error {
	to, err := t.connected(ctx, at)
	if err != nil {
		return err
	}

	if to.direct {
		result, err := to.one(ctx, to.client.B().Unlink().Key(keys...).Build())
		if err == nil {
			_, err = result.AsInt64()
		}
		return asProtocol(err)
	}

	commands := make([]rueidis.Completed, len(keys)) // of a cluster, they may belong to several nodes
	for i, key := range keys {
		commands[i] = to.client.B().Unlink().Key(key).Build()
	}

	results, err := to.detached(ctx, func(ctx context.Context) []rueidis.RedisResult { return to.client.DoMulti(ctx, commands...) })
	for _, r := range results {
		if _, parseErr := r.AsInt64(); parseErr != nil {
			err = errors.Join(err, asProtocol(parseErr))
		}
	}
	return err
}

// Ping returns nil if Redis replies. It connects if necessary.
func (t *Tier) Ping(ctx context.Context) error {
	ctx, cancel := t.bounded(ctx)
	defer cancel()

	to, err := t.connected(ctx, t.lane(""))
	var result rueidis.RedisResult
	if err == nil {
		result, err = to.one(ctx, to.client.B().Ping().Build())
	}
	if err == nil {
		err = wantText(result, "PONG")
	}

	if err != nil {
		return fmt.Errorf("redistier: ping: %w", err)
	}
	return nil
}

// wantText is for commands that have one good reply.
func wantText(result rueidis.RedisResult, want string) error {
	got, err := result.ToString()
	switch {
	case err != nil:
		return asProtocol(err)
	case got != want:
		return fmt.Errorf("%w: %.20q", ErrProtocol, got)
	}
	return nil
}

// asProtocol adds ErrProtocol to rueidis' error that a reply is of the wrong type.
func asProtocol(err error) error {
	if err != nil && (rueidis.IsParseErr(err) || rueidis.IsRedisNil(err)) {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return err
}

// Close closes the connections, except those of a client that was passed to FromClient, and returns when no goroutine
// of the Tier is left. Waiting calls return an error, and so do all later ones. A second Close is a no-op.
func (t *Tier) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.ended.Store(true)
	t.end()
	for _, l := range t.lanes {
		if open := l.link.Load(); open != nil {
			l.drop(open)
		}
	}
	t.work.Wait()
}

// start runs f on a goroutine that Close waits for, unless Close was called.
func (t *Tier) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.work.Go(f)
	return true
}

func (t *Tier) closing() bool { return t.ended.Load() }

// bounded gives ctx the deadline of ReadTimeout, if it has no earlier one.
func (t *Tier) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= t.cfg.ReadTimeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, t.cfg.ReadTimeout)
}

// connected is a link of the lane.
func (t *Tier) connected(ctx context.Context, at *lane) (*link, error) {
	if t.closing() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t.theirs != nil {
		return t.theirs, nil
	}
	return at.get(ctx)
}

// lane is the same for a key every time, so that commands for it keep their order. While nothing is known of the server
// it is the first, which finds out.
func (t *Tier) lane(key string) *lane {
	switch {
	case len(t.lanes) == 0:
		return nil
	case key == "" || !t.single.Load():
		return t.lanes[0]
	}
	return t.lanes[maphash.String(t.seed, key)%uint64(len(t.lanes))]
}

// grouped is the keys, with their prefix, by lane.
func (t *Tier) grouped(keys []string) map[*lane][]string {
	groups := map[*lane][]string{}
	for _, key := range keys {
		key = t.cfg.KeyPrefix + key
		at := t.lane(key)
		groups[at] = append(groups[at], key)
	}
	return groups
}

// readOnly hangs up on a server that says it is a replica: behind the name that led there may be another one by now.
func (t *Tier) readOnly(err error) {
	if !strings.Contains(err.Error(), "READONLY ") {
		return
	}
	for _, l := range t.lanes {
		if found := l.link.Load(); found != nil && found.direct && time.Since(found.born) > 2*settled {
			found.dialer.hangUp()
		}
	}
}
