package redistier

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"
)

// The defaults of [Config].
const (
	DefaultKeyPrefix    = "pgcoherence:"
	DefaultDialTimeout  = 5 * time.Second
	DefaultReadTimeout  = 3 * time.Second
	DefaultWriteTimeout = 3 * time.Second
	DefaultMaxValueSize = 1 << 20

	// MaxPoolSize is the largest PoolSize.
	MaxPoolSize = 256
)

// Config says how a [Tier] connects to Redis. Its printed form contains no password.
type Config struct {
	// URL is the address of Redis. Required by New:
	//
	//	redis://user:password@host:6379/0
	//	rediss://…                                            the same over TLS
	//	unix:///run/redis/redis.sock?db=0                     a socket
	//	redis://node1:6379?addr=node2:6379&addr=node3:6379    some nodes of a cluster; the others are discovered
	//	redis://sentinel1:26379?addr=sentinel2:26379&master_set=name
	//
	// The server reports whether it is a cluster. Characters with a meaning in URLs have to be percent-encoded in the
	// password. Other parameters of rueidis.ParseURL (client_name, protocol=2, skip_verify, dial_timeout,
	// write_timeout) work, too; the fields below override them.
	URL string

	// Username and Password are for AUTH. Default to those of the URL, or to none.
	Username string
	Password string

	// SentinelUsername and SentinelPassword are for the sentinels, which have users of their own. Default to none.
	SentinelUsername string
	SentinelPassword string

	// DB is the number of the database; a cluster has only 0. Defaults to that of the URL, or to 0.
	DB int

	// TLS configures TLS, for example a CA of your own or a client certificate. Setting it enables TLS even for
	// redis://. It is cloned. An empty ServerName becomes the URL's host. Defaults, with rediss://, to the system's
	// CAs and TLS 1.2 or later.
	TLS *tls.Config

	// KeyPrefix is the prefix of every key, so that applications can share a Redis. Defaults to DefaultKeyPrefix.
	KeyPrefix string

	// PoolSize is the number of connections to one server. It does not limit concurrent calls: commands share
	// connections (pipelining), so a few connections do the work of a pool with dozens. A single server gets exactly
	// PoolSize connections. With sentinels it is rounded down to a power of two (it becomes rueidis's
	// PipelineMultiplex). With a cluster there is always one per node. rueidis's BlockingPoolSize is for blocking
	// commands, which a tier does not send. At most MaxPoolSize. Defaults to the number of processors, at most 4.
	PoolSize int

	// DialTimeout bounds connecting, including TLS and login. A caller waits for it only until its context ends; the
	// connection is then ready for the next call. Defaults to DefaultDialTimeout.
	DialTimeout time.Duration

	// ReadTimeout bounds the wait for a reply; an earlier deadline of the context takes precedence. An idle
	// connection is probed every second, and closed if the reply takes this long. Defaults to DefaultReadTimeout.
	ReadTimeout time.Duration

	// WriteTimeout bounds writing to the socket. A write that takes longer ends the connection. Defaults to
	// DefaultWriteTimeout.
	WriteTimeout time.Duration

	// MaxValueSize is the maximum length of a value in bytes; Set refuses longer ones. Defaults to
	// DefaultMaxValueSize.
	MaxValueSize int

	// Logger receives changes of the connection's state. Defaults to slog.Default().
	Logger *slog.Logger
}

// String returns the Config without secrets.
func (c Config) String() string {
	return fmt.Sprintf("{URL:%s PoolSize:%d DialTimeout:%v ReadTimeout:%v WriteTimeout:%v KeyPrefix:%q}",
		redact(c.URL), c.PoolSize, c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.KeyPrefix)
}

// GoString implements fmt.GoStringer, so that %#v shows no secret either.
func (c Config) GoString() string { return "redistier.Config" + c.String() }

// LogValue implements slog.LogValuer.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.KeyPrefix = cmp.Or(d.KeyPrefix, DefaultKeyPrefix)
	d.PoolSize = cmp.Or(d.PoolSize, min(4, runtime.GOMAXPROCS(0)))
	d.ReadTimeout = cmp.Or(d.ReadTimeout, DefaultReadTimeout)
	d.MaxValueSize = cmp.Or(d.MaxValueSize, DefaultMaxValueSize)
	return d
}

// validate checks what withDefaults has filled; the timeouts that the URL can give come later.
func (c *Config) validate() error {
	if c.PoolSize < 1 || c.PoolSize > MaxPoolSize {
		return fmt.Errorf("%w: PoolSize: %d is not between 1 and %d", ErrConfig, c.PoolSize, MaxPoolSize)
	}

	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"DialTimeout", c.DialTimeout}, {"ReadTimeout", c.ReadTimeout}, {"WriteTimeout", c.WriteTimeout}} {
		if d.value != 0 && d.value < time.Millisecond {
			return fmt.Errorf("%w: %s: %v is less than a millisecond", ErrConfig, d.name, d.value)
		}
	}

	if c.MaxValueSize < 1 || c.MaxValueSize > math.MaxInt32 {
		return fmt.Errorf("%w: MaxValueSize: %d is not between 1 and 2 GiB", ErrConfig, c.MaxValueSize)
	}
	if c.DB < 0 {
		return fmt.Errorf("%w: DB: %d is negative", ErrConfig, c.DB)
	}
	return nil
}
