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

// The defaults of [Config].
const (
	DefaultInterval    = time.Second
	DefaultLostAfter   = 3 * time.Second
	DefaultKeepLost    = 2 * time.Minute
	DefaultMaxWatchers = 64
)

// minToken is the least length of a token: less could be guessed.
const minToken = 16

// Bus is what status needs of a bus. *bus.Postgres and *bus.Local implement it. With a method Cluster the report
// contains all pods, and with a method Ready the pod is not ready before that.
type Bus interface {
	bus.Bus
	prometheus.Collector
	Stats() bus.Stats
	Delays() bus.Delays
	Resets() []bus.ResetRecord
	Topics() []bus.TopicStats
}

// Cache is what status needs of a cache. Every *cache.Cache implements it.
type Cache interface {
	prometheus.Collector
	Topic() string
	Stats() cache.Stats
}

// Tier is what status needs of a second-level cache. *redistier.Tier implements it.
type Tier interface {
	// Ping returns nil if the tier responds. It must return when ctx ends.
	Ping(ctx context.Context) error
}

// Locker is what status needs of a *lock.Locker.
type Locker interface {
	prometheus.Collector
	Stats() lock.Stats
}

// Sessions is what status needs of a session store. Every *sessionstore.Store implements it.
type Sessions interface {
	prometheus.Collector
	Stats() sessionstore.Stats
}

// Check is an additional check of the application in /readyz.
type Check struct {
	// Name is the name in ?exclude= and ?verbose: lower-case letters, digits, - and _.
	Name string
	// Func returns an error if the check fails. It is called for every request, and must return when ctx ends, after
	// at most one second. Its error is not shown, because /readyz needs no token.
	Func func(ctx context.Context) error
	// Required makes the pod not ready when the check fails. Otherwise the pod is only degraded.
	Required bool
}

// Config configures a [Handler]. With a nil or zero Config only /livez and /readyz are open.
type Config struct {
	// Name is the name of this pod. Defaults to the host name.
	Name string
	// Version is the version of the application. Defaults to "".
	Version string

	// Caches, Lockers and Sessions are shown, and their metrics collected. Defaults to none.
	Caches   []Cache
	Lockers  []Locker
	Sessions []Sessions
	// Tiers are the second-level caches, by the cache's topic. They are pinged for a report, at most once per
	// Interval. Defaults to none.
	Tiers map[string]Tier
	// Collectors are additional collectors for /metrics. One may collect for another that is named above: a
	// *scsstore.Store goes here, and its Sessions() into Sessions. Defaults to none.
	Collectors []prometheus.Collector
	// Checks are additional checks for /readyz. Defaults to none.
	Checks []Check

	// Token opens all paths but /livez and /readyz, as a bearer token or in the page's login form. At least 16
	// characters. Without it and Authorize they stay closed.
	Token string
	// Authorize allows a request without the token if it returns nil. Its error is logged and not shown. Set it to
	// Unprotected if middleware protects the path. Defaults to nil: only Token allows requests.
	Authorize func(r *http.Request) error
	// PublicMetrics opens /metrics, which shows names of topics and numbers, without a token. Defaults to false.
	PublicMetrics bool

	// ActionToken enables actions: the page can then invalidate keys and topics, end sessions and release leases. The
	// client sends it with every action, and it is not stored. At least 16 characters, different from Token. Defaults
	// to "": no actions, unless AuthorizeAction is set.
	ActionToken string
	// AuthorizeAction allows an action if it returns nil, in addition to ActionToken if both are set. Its error is
	// logged and not shown. Set it if middleware identifies the user. Defaults to nil.
	AuthorizeAction func(r *http.Request) error
	// OnAction, if not nil, is called after each action that was allowed, successful or not, for an audit of your
	// own. Every action is logged in any case, without the key. A panic in it is recovered and logged.
	OnAction func(ctx context.Context, a Action)

	// Prefix is removed from the path of requests, such as "/_pgcoherence". Defaults to "": for use with
	// http.StripPrefix, or on a server of its own.
	Prefix string

	// Strict makes /readyz fail while the bus is not fresh. All pods lose Postgres together, and then no pod serves
	// requests. Defaults to false: degraded, with status 200.
	Strict bool

	// Registry is shown by /metrics. New registers everything in this Config that it does not contain yet. Defaults
	// to a new registry.
	Registry *prometheus.Registry

	// Interval is how often the live page is updated, and how long readings are shared by all clients. Defaults to
	// DefaultInterval.
	Interval time.Duration
	// LostAfter is how long after its last beat a pod counts as lost. It should be less than the cluster's pod lease,
	// after which the pod's row is removed. Defaults to DefaultLostAfter.
	LostAfter time.Duration
	// KeepLost is how long a pod that has ended is shown; the database remembers it for an hour. Defaults to
	// DefaultKeepLost.
	KeepLost time.Duration
	// MaxWatchers is the maximum number of clients that watch the live page. Defaults to DefaultMaxWatchers.
	MaxWatchers int

	// Logger receives refused requests and failed reads. Defaults to slog.Default().
	Logger *slog.Logger
}

// Unprotected allows every request. Use it as Config.Authorize behind middleware that authorizes requests.
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
