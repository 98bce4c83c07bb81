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

// The defaults of Config.
const (
	DefaultKeyPrefix    = "pgcoherence:"
	DefaultDialTimeout  = 5 * time.Second
	DefaultReadTimeout  = 3 * time.Second
	DefaultWriteTimeout = 3 * time.Second
	DefaultMaxValueSize = 1 << 20

	// MaxPoolSize is the largest PoolSize.
	MaxPoolSize = 256
)

// Config is how a Tier finds Redis and speaks to it. Printing it shows no password.
type Config struct {
	// URL says where Redis is. Required by New:
	//
	//	redis://user:password@host:6379/0
	//	rediss://…                                            the same over TLS
	//	unix:///run/redis/redis.sock?db=0                     a socket
	//	redis://node1:6379?addr=node2:6379&addr=node3:6379    some nodes of a cluster; the others are found
	//	redis://sentinel1:26379?addr=sentinel2:26379&master_set=name
	//
	// A server on its own and a cluster are told apart by asking it. Characters with a meaning in URLs have to be
	// percent-encoded in the password. Other parameters of rueidis.ParseURL (client_name, protocol=2, skip_verify,
	// dial_timeout, write_timeout) work too; the fields below win over them.
	URL string

	// Username and Password log in by AUTH. Default to those of the URL, and to none.
	Username string
	Password string

	// SentinelUsername and SentinelPassword log in to the sentinels, which have users of their own. Default to none.
	SentinelUsername string
	SentinelPassword string

	// DB is the number of the database; a cluster has only 0. Defaults to that of the URL, and to 0.
	DB int

	// TLS is what connections are made with: a CA of your own, a certificate of the client. Setting it switches TLS on
	// even for redis://. It is cloned; an empty ServerName becomes the URL's host. Defaults, with rediss://, to the
	// system's CAs and TLS 1.2 or later.
	TLS *tls.Config

	// KeyPrefix stands before every key, so that applications can share a Redis. Defaults to DefaultKeyPrefix.
	KeyPrefix string

	// PoolSize is how many connections there are to one server. Commands share them: many wait for answers on one
	// connection at a time (pipelining), so that a few connections do what takes a pool of one connection per command
	// dozens, and this is not a limit of how many calls can be under way. A server on its own gets exactly so many.
	// Sentinels: rounded down to a power of two (it becomes rueidis' PipelineMultiplex). A cluster: always one per node.
	// rueidis' BlockingPoolSize, which its own documentation calls a pool, is for blocking commands, and a tier sends
	// none. At most MaxPoolSize. Defaults to the number of processors, at most 4.
	PoolSize int

	// DialTimeout bounds connecting, with TLS and login. A caller does not wait for it longer than its context says: the
	// connection is then there for the next one. Defaults to DefaultDialTimeout.
	DialTimeout time.Duration

	// ReadTimeout bounds the wait for an answer; a context's earlier deadline wins. An idle connection is probed every
	// second, and given up if the probe's answer takes this long. Defaults to DefaultReadTimeout.
	ReadTimeout time.Duration

	// WriteTimeout bounds handing bytes to the system: what takes longer ends the connection. Defaults to
	// DefaultWriteTimeout.
	WriteTimeout time.Duration

	// MaxValueSize is the most bytes of a value; Set refuses longer ones. Defaults to DefaultMaxValueSize.
	MaxValueSize int

	// Logger takes changes of the connection's state. Defaults to slog.Default().
	Logger *slog.Logger
}

// String is Config without secrets.
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
