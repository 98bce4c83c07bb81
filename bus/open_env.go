package bus

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// DefaultEnvPrefix is the default prefix of the environment variables that [ConfigFromEnv] reads. redistier uses the
// same.
const DefaultEnvPrefix = "PGCOHERENCE_"

// Env has the arguments of [Open] as [ConfigFromEnv] has read them.
type Env struct {
	DSN    string
	Config Config
	Open   OpenConfig
}

// ConfigFromEnv reads the arguments of [Open] from the environment. An empty prefix means [DefaultEnvPrefix], with
// which the variables are
//
//	PGCOHERENCE_DATABASE_URL      DSN; if not set, DSN is empty, and a program can run as one process with NewLocal
//	PGCOHERENCE_LISTEN_URL        OpenConfig.ListenDSN
//	PGCOHERENCE_POOL_SIZE         OpenConfig.MaxConns
//	PGCOHERENCE_SCHEMA            Config.Schema
//	PGCOHERENCE_POD_NAME          Config.Name
//	PGCOHERENCE_VERSION           Config.Version
//	PGCOHERENCE_MODE              Config.Mode: auto, listen or poll
//	PGCOHERENCE_STALE_AFTER       Config.StaleAfter, as "3s"; so are the other times
//	PGCOHERENCE_BEAT_INTERVAL     Config.BeatInterval
//	PGCOHERENCE_PROBE_TIMEOUT     Config.ProbeTimeout
//	PGCOHERENCE_SWEEP_INTERVAL    Config.SweepInterval
//	PGCOHERENCE_RETENTION         Config.Retention
//	PGCOHERENCE_CONNECT_TIMEOUT   Config.ConnectTimeout
//
// Without a variable the field keeps its default. The error is [ErrConfig]. It names the variable but not its value,
// which may be a URL with a password.
func ConfigFromEnv(prefix string) (*Env, error) {
	if prefix == "" {
		prefix = DefaultEnvPrefix
	}
	text := func(name string) string { return strings.TrimSpace(os.Getenv(prefix + name)) }
	e := &Env{
		DSN:    text("DATABASE_URL"),
		Config: Config{Schema: text("SCHEMA"), Name: text("POD_NAME"), Version: text("VERSION")},
		Open:   OpenConfig{ListenDSN: text("LISTEN_URL")},
	}

	if size := text("POOL_SIZE"); size != "" {
		n, err := strconv.ParseInt(size, 10, 32)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%w: %sPOOL_SIZE: want a positive number", ErrConfig, prefix)
		}
		e.Open.MaxConns = int32(n)
	}
	switch mode := strings.ToLower(text("MODE")); mode {
	case "", "auto":
	case "listen":
		e.Config.Mode = Listen
	case "poll":
		e.Config.Mode = Poll
	default:
		return nil, fmt.Errorf("%w: %sMODE: want auto, listen or poll", ErrConfig, prefix)
	}
	for name, field := range map[string]*time.Duration{
		"STALE_AFTER": &e.Config.StaleAfter, "BEAT_INTERVAL": &e.Config.BeatInterval, "PROBE_TIMEOUT": &e.Config.ProbeTimeout,
		"SWEEP_INTERVAL": &e.Config.SweepInterval, "RETENTION": &e.Config.Retention, "CONNECT_TIMEOUT": &e.Config.ConnectTimeout,
	} {
		if value := text(name); value != "" {
			d, err := time.ParseDuration(value)
			if err != nil {
				return nil, fmt.Errorf("%w: %s%s: want a duration such as 3s", ErrConfig, prefix, name)
			}
			*field = d
		}
	}

	c := e.Config.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("%w (from the environment, %s…)", err, prefix)
	}
	return e, nil
}
