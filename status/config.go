package status

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// The defaults of Config.
const (
	DefaultInterval    = time.Second
	DefaultLostAfter   = 3 * time.Second
	DefaultKeepLost    = 2 * time.Minute
	DefaultMaxWatchers = 64
)

// minToken is the least length of a token: less could be guessed.
const minToken = 16

// Bus is what status needs of a bus; *bus.Postgres and *bus.Local have it. One that also has Cluster shows all
// pods, and one that has Ready is not ready before.
type Bus interface {
	bus.Bus
	prometheus.Collector
	Stats() bus.Stats
	Delays() bus.Delays
	Resets() []bus.ResetRecord
	Topics() []bus.TopicStats
}

// Cache is what status needs of a cache: every *cache.Cache has it.
type Cache interface {
	prometheus.Collector
	Topic() string
	Stats() cache.Stats
}

// Tier is what status needs of a second-level cache: *redistier.Tier has it.
type Tier interface {
	// Ping says whether the tier answers. It must end when ctx does.
	Ping(ctx context.Context) error
}

// Locker is what status needs of a *lock.Locker.
type Locker interface {
	prometheus.Collector
	Stats() lock.Stats
}

// Sessions is what status needs of a session store: every *sessionstore.Store has it.
type Sessions interface {
	prometheus.Collector
	Stats() sessionstore.Stats
}

// Check is a check of the application's own in /readyz.
type Check struct {
	// Name is what ?exclude= and ?verbose call it: lower-case letters, digits, - and _.
	Name string
	// Func says what is wrong. It is called for every request and must end when ctx does, after a second at the latest. Its
	// error is not shown: /readyz needs no token.
	Func func(ctx context.Context) error
	// Required: without it this pod is not ready. Otherwise it is only degraded.
	Required bool
}

// Config is how a Handler works. With the zero value, and nil, only /livez and /readyz answer.
type Config struct {
	// Name is what people call this pod. Defaults to the host name.
	Name string
	// Version is that of the application. Defaults to nothing.
	Version string

	// Caches, Lockers and Sessions are shown, and their metrics collected.
	Caches   []Cache
	Lockers  []Locker
	Sessions []Sessions
	// Tiers are the second levels of caches, by the cache's topic. They are pinged when somebody looks, at most once per
	// Interval.
	Tiers map[string]Tier
	// Collectors are further ones for /metrics. One may collect for another that is named above: a *scsstore.Store goes
	// here, and its Sessions() into Sessions.
	Collectors []prometheus.Collector
	// Checks are further ones for /readyz.
	Checks []Check

	// Token opens all but /livez and /readyz: as a bearer token, or in the page's login form. At least 16 characters.
	// Without it and Authorize everything else is closed.
	Token string
	// Authorize lets a request through without the token if it returns nil; its error is logged and not shown. Set it to
	// Unprotected if middleware of yours protects the path. Defaults to nobody.
	Authorize func(r *http.Request) error
	// PublicMetrics: /metrics needs no token. It tells names of topics and numbers.
	PublicMetrics bool

	// ActionToken switches actions on: from the page somebody can then invalidate keys and topics, end sessions and release
	// leases. It is asked for with every action and kept nowhere. At least 16 characters, and another one than Token. Defaults
	// to nothing: no actions, unless AuthorizeAction is set.
	ActionToken string
	// AuthorizeAction lets an action through if it returns nil, after ActionToken if both are set; its error is logged and
	// not shown. Set it where middleware of yours knows who somebody is. Defaults to nil.
	AuthorizeAction func(r *http.Request) error
	// OnAction, if not nil, is called after each action that was allowed, done or failed, for an audit of your own. The log
	// has a line for each in any case, without the key. A panic in it is recovered and logged. Defaults to nil.
	OnAction func(ctx context.Context, a Action)

	// Prefix is what the handler takes off the path of requests, as "/_pgcoherence". Defaults to nothing: for
	// http.StripPrefix, or a server of its own.
	Prefix string

	// Strict: /readyz fails while the bus is not fresh. All pods lose one Postgres together, and then nobody serves
	// anything. Defaults to false: degraded, status 200.
	Strict bool

	// Registry is what /metrics shows; New registers everything of this Config that is not in it yet. Defaults to one of
	// its own.
	Registry *prometheus.Registry

	// Interval is how often the live page is told, and for how long what was read is good enough for all who ask. Defaults
	// to DefaultInterval.
	Interval time.Duration
	// LostAfter is how long after its last beat a pod counts as lost. Less than the cluster's pod lease, or its row goes
	// before. Defaults to DefaultLostAfter.
	LostAfter time.Duration
	// KeepLost is for how long a pod that is gone is shown; the database remembers an hour. Defaults to DefaultKeepLost.
	KeepLost time.Duration
	// MaxWatchers is how many may watch the live page at once. Defaults to DefaultMaxWatchers.
	MaxWatchers int

	// Logger takes refused requests and reads that failed. Defaults to slog.Default().
	Logger *slog.Logger
}

// Unprotected lets every request through. It is for handlers behind middleware that decides.
func Unprotected(*http.Request) error { return nil }

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Name == "" {
		d.Name, _ = os.Hostname()
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.Registry == nil {
		d.Registry = prometheus.NewRegistry()
	}
	d.Caches, d.Lockers, d.Sessions = slices.Clone(d.Caches), slices.Clone(d.Lockers), slices.Clone(d.Sessions)
	d.Tiers = maps.Clone(d.Tiers)
	d.Checks, d.Collectors = slices.Clone(d.Checks), slices.Clone(d.Collectors)
	d.Interval = cmp.Or(d.Interval, DefaultInterval)
	d.LostAfter = cmp.Or(d.LostAfter, DefaultLostAfter)
	d.KeepLost = cmp.Or(d.KeepLost, DefaultKeepLost)
	d.MaxWatchers = cmp.Or(d.MaxWatchers, DefaultMaxWatchers)
	return d
}

func (c *Config) validate() error {
	switch {
	case c.Token != "" && len(c.Token) < minToken:
		return fmt.Errorf("%w: Token: want at least %d characters", ErrConfig, minToken)
	case strings.TrimSpace(c.Token) != c.Token:
		return fmt.Errorf("%w: Token: begins or ends with a space", ErrConfig)
	case c.ActionToken != "" && len(c.ActionToken) < minToken:
		return fmt.Errorf("%w: ActionToken: want at least %d characters", ErrConfig, minToken)
	case c.ActionToken != "" && c.ActionToken == c.Token:
		return fmt.Errorf("%w: ActionToken: is the same as Token", ErrConfig)
	case c.Prefix != "" && (!strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/")):
		return fmt.Errorf("%w: Prefix: %q does not begin, or ends, with a slash", ErrConfig, c.Prefix)
	case c.Interval < 10*time.Millisecond:
		return fmt.Errorf("%w: Interval: %v is less than 10 milliseconds", ErrConfig, c.Interval)
	case c.LostAfter < 0:
		return fmt.Errorf("%w: LostAfter: %v is negative", ErrConfig, c.LostAfter)
	case c.KeepLost < 0 || c.KeepLost > time.Hour:
		return fmt.Errorf("%w: KeepLost: %v is not between 0 and an hour", ErrConfig, c.KeepLost)
	case c.MaxWatchers < 1:
		return fmt.Errorf("%w: MaxWatchers: %d is less than 1", ErrConfig, c.MaxWatchers)
	}
	return c.validateParts()
}

func (c *Config) validateParts() error {
	topics := make(map[string]bool)
	for i, one := range c.Caches {
		if one == nil {
			return fmt.Errorf("%w: Caches: number %d is nil", ErrConfig, i)
		}
		if topics[one.Topic()] {
			return fmt.Errorf("%w: Caches: two have the topic %q", ErrConfig, one.Topic())
		}
		topics[one.Topic()] = true
	}
	for i, s := range c.Sessions {
		if s == nil {
			return fmt.Errorf("%w: Sessions: number %d is nil", ErrConfig, i)
		}
		topics[s.Stats().Cache.Topic] = true
	}
	for topic, tier := range c.Tiers {
		if tier == nil || !topics[topic] {
			return fmt.Errorf("%w: Tiers: %q is nil or not the topic of one of the Caches or Sessions", ErrConfig, topic)
		}
	}
	if slices.Contains(c.Lockers, nil) || slices.Contains(c.Collectors, nil) {
		return fmt.Errorf("%w: Lockers, Collectors: one is nil", ErrConfig)
	}
	return c.validateChecks()
}

func (c *Config) validateChecks() error {
	names := map[string]bool{checkStarted: true, checkDraining: true, checkBus: true}
	for _, check := range c.Checks {
		plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' }
		if check.Name == "" || strings.ContainsFunc(check.Name, func(r rune) bool { return !plain(r) }) {
			return fmt.Errorf("%w: Checks: name %q", ErrConfig, check.Name)
		}
		if names[check.Name] || check.Func == nil {
			return fmt.Errorf("%w: Checks: %s is there twice or has no Func", ErrConfig, check.Name)
		}
		names[check.Name] = true
	}
	return nil
}
