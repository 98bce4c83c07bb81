package redistier

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// DefaultEnvPrefix is the default prefix of the environment variables.
const DefaultEnvPrefix = "PGCOHERENCE_"

// FromEnv is [New] with the settings of [ConfigFromEnv]. Without a URL it returns [ErrNoURL], so that the program can
// continue without a tier.
func FromEnv(prefix string) (*Tier, error) {
	cfg, err := ConfigFromEnv(prefix)
	if err != nil {
		return nil, err
	}
	if cfg.URL == "" {
		return nil, ErrNoURL
	}
	t, err := New(cfg)
	if err != nil && errors.Is(err, ErrConfig) {
		return nil, fmt.Errorf("%w (from the environment, %sREDIS_…)", err, envPrefix(prefix))
	}
	return t, err
}

// ConfigFromEnv reads a Config from the environment. An empty prefix means [DefaultEnvPrefix], with which the
// variables are
//
//	PGCOHERENCE_REDIS_URL            Config.URL
//	PGCOHERENCE_REDIS_POOL_SIZE      Config.PoolSize       20
//	PGCOHERENCE_REDIS_DIAL_TIMEOUT   Config.DialTimeout    5s
//	PGCOHERENCE_REDIS_READ_TIMEOUT   Config.ReadTimeout    3s
//	PGCOHERENCE_REDIS_WRITE_TIMEOUT  Config.WriteTimeout   3s
//	PGCOHERENCE_REDIS_KEY_PREFIX     Config.KeyPrefix      used unchanged: end it with a separator
//
// Without a variable, or with an empty one, the field stays zero, which means the default. An invalid value is an
// error that names the variable.
func ConfigFromEnv(prefix string) (*Config, error) {
	e := environment{prefix: envPrefix(prefix) + "REDIS_"}
	cfg := &Config{
		URL:          e.text("URL"),
		PoolSize:     e.number("POOL_SIZE"),
		DialTimeout:  e.duration("DIAL_TIMEOUT"),
		ReadTimeout:  e.duration("READ_TIMEOUT"),
		WriteTimeout: e.duration("WRITE_TIMEOUT"),
		KeyPrefix:    e.text("KEY_PREFIX"),
	}

	if cfg.URL != "" {
		check := cfg.withDefaults()
		if _, err := check.options(); err != nil {
			e.errs = append(e.errs, fmt.Errorf("%sURL: %w", e.prefix, err))
		}
	}

	if err := errors.Join(e.errs...); err != nil {
		return nil, err
	}
	return cfg, nil
}

func envPrefix(prefix string) string {
	if prefix == "" {
		return DefaultEnvPrefix
	}
	return prefix
}

// environment gathers all that is wrong, so that one start shows it all.
type environment struct {
	prefix string
	errs   []error
}

func (e *environment) text(name string) string { return os.Getenv(e.prefix + name) }

// Only the names: a value in the wrong variable may well be a URL with a password.
func (e *environment) bad(name, want string) {
	e.errs = append(e.errs, fmt.Errorf("%w: %s%s: want %s", ErrConfig, e.prefix, name, want))
}

func (e *environment) number(name string) int {
	text := e.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxPoolSize {
		e.bad(name, fmt.Sprintf("a number from 1 to %d", MaxPoolSize))
	}
	return n
}

func (e *environment) duration(name string) time.Duration {
	text := e.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		e.bad(name, "a duration of a millisecond or more, such as 5s")
	}
	return d
}
