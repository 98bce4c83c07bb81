package redistier_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache/redistier"
)

// New does no I/O, so addresses that lead nowhere are fine here.
func TestGoodConfigs(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"redis://h", "redis://h:1", "redis://u:p@h:1/2", "redis://:p%2Fw@h", "rediss://h", "unix:///s", "unix://u:p@/s?db=2",
		"redis://h?addr=h2&addr=h3:7", "redis://h:26379?master_set=m", "valkey://h", "REDIS://h", "redis://[::1]:6379",
	} {
		tier, err := redistier.New(&redistier.Config{URL: u, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
		require.NoError(t, err, u)
		tier.Close()
	}
}

func TestBadConfigs(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for name, bad := range map[string]struct {
		cfg   *redistier.Config
		field string
	}{
		"nil":            {nil, "URL"},
		"no url":         {&redistier.Config{}, "URL"},
		"no scheme":      {&redistier.Config{URL: secret + "@localhost"}, "URL"},
		"other scheme":   {&redistier.Config{URL: "http://:hunter2@localhost"}, "URL"},
		"slash in it":    {&redistier.Config{URL: "redis://:a/hunter2@localhost"}, "URL"},
		"percent":        {&redistier.Config{URL: "redis://:%hunter2@localhost"}, "URL"},
		"port":           {&redistier.Config{URL: "redis://:x@localhost:hunter2"}, "URL"},
		"path":           {&redistier.Config{URL: "redis://localhost/hunter2"}, "URL"},
		"negative path":  {&redistier.Config{URL: "redis://localhost/-1"}, "URL"},
		"parameter":      {&redistier.Config{URL: "redis://localhost?dial_timeout=hunter2"}, "URL"},
		"socket of none": {&redistier.Config{URL: "unix://"}, "URL"},
		"pool":           {&redistier.Config{URL: "redis://h", PoolSize: -1}, "PoolSize"},
		"large pool":     {&redistier.Config{URL: "redis://h", PoolSize: 257}, "PoolSize"},
		"database":       {&redistier.Config{URL: "redis://h", DB: -1}, "DB"},
		"dial":           {&redistier.Config{URL: "redis://h", DialTimeout: -1}, "DialTimeout"},
		"read":           {&redistier.Config{URL: "redis://h", ReadTimeout: time.Microsecond}, "ReadTimeout"},
		"write":          {&redistier.Config{URL: "redis://h", WriteTimeout: -time.Hour}, "WriteTimeout"},
		"value":          {&redistier.Config{URL: "redis://h", MaxValueSize: -1}, "MaxValueSize"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := redistier.New(bad.cfg)
			require.ErrorIs(t, err, redistier.ErrConfig)
			require.ErrorContains(t, err, bad.field)
			require.NotContains(t, err.Error(), secret)
		})
	}

	_, err := redistier.New(nil)
	require.ErrorIs(t, err, redistier.ErrNoURL)
}

// However a Config is printed, there is no password in it.
func TestConfigShowsNoSecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for _, cfg := range []redistier.Config{
		{URL: "redis://hunter2:hunter2@localhost:1/2?addr=hunter2"},
		{URL: "redis://:%hunter2@h"},
		{URL: "redis://h", Password: "hunter2", SentinelPassword: "hunter2"},
	} {
		text := fmt.Sprintf("%v %+v %#v %s %v %+v", cfg, cfg, cfg, cfg, &cfg, &cfg)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", slog.Any("config", cfg), slog.Any("pointer", &cfg))
		require.NotContains(t, text, "hunter2")
	}
	require.NotContains(t, log.String(), "hunter2")
	require.Contains(t, log.String(), "localhost:1")
}

// They change the environment, so they are not parallel.
func TestEnvironment(t *testing.T) {
	for _, prefix := range []string{"", "PGCOHERENCE_", "OTHER_"} {
		full := prefix
		if full == "" {
			full = redistier.DefaultEnvPrefix
		}
		cfg, err := redistier.ConfigFromEnv(prefix)
		require.NoError(t, err)
		require.Equal(t, &redistier.Config{}, cfg)
		_, err = redistier.FromEnv(prefix)
		require.ErrorIs(t, err, redistier.ErrNoURL)
		require.NotErrorIs(t, err, redistier.ErrConfig, "a program goes on without a tier")

		t.Setenv(full+"REDIS_URL", "redis://:password@redis-service:6379")
		t.Setenv(full+"REDIS_POOL_SIZE", "20")
		t.Setenv(full+"REDIS_DIAL_TIMEOUT", "5s")
		t.Setenv(full+"REDIS_READ_TIMEOUT", "3s")
		t.Setenv(full+"REDIS_WRITE_TIMEOUT", "3500ms")
		t.Setenv(full+"REDIS_KEY_PREFIX", "memos")
		cfg, err = redistier.ConfigFromEnv(prefix)
		require.NoError(t, err)
		require.Equal(t, &redistier.Config{
			URL: "redis://:password@redis-service:6379", PoolSize: 20, DialTimeout: 5 * time.Second, ReadTimeout: 3 * time.Second,
			WriteTimeout: 3500 * time.Millisecond, KeyPrefix: "memos",
		}, cfg)
		tier, err := redistier.FromEnv(prefix)
		require.NoError(t, err)
		tier.Close()
		for _, name := range []string{"URL", "POOL_SIZE", "DIAL_TIMEOUT", "READ_TIMEOUT", "WRITE_TIMEOUT", "KEY_PREFIX"} {
			t.Setenv(full+"REDIS_"+name, "")
		}
	}
}

func TestBadEnvironment(t *testing.T) {
	bad := map[string][]string{
		"URL":           {"hunter2", "redis://:hunter2/@h", "redis://h/hunter2", "http://u:hunter2@h"},
		"POOL_SIZE":     {"hunter2", "0", "-1", "1e3", "257", "99999999999999999999"},
		"DIAL_TIMEOUT":  {"hunter2", "5", "0s", "-5s", "1ns"},
		"READ_TIMEOUT":  {"hunter2", "3"},
		"WRITE_TIMEOUT": {"hunter2", "3"},
	}
	for name, values := range bad {
		for _, value := range values {
			t.Setenv("PGCOHERENCE_REDIS_URL", "redis://h")
			t.Setenv("PGCOHERENCE_REDIS_"+name, value)
			_, err := redistier.FromEnv("")
			require.ErrorIs(t, err, redistier.ErrConfig, "%s=%s", name, value)
			require.ErrorContains(t, err, "PGCOHERENCE_REDIS_"+name)
			require.NotContains(t, err.Error(), "hunter2")
			t.Setenv("PGCOHERENCE_REDIS_"+name, "")
		}
	}

	for name, values := range bad { // all at once, and all are told
		t.Setenv("PGCOHERENCE_REDIS_"+name, values[0])
	}

	_, err := redistier.ConfigFromEnv("")
	for name := range bad {
		require.ErrorContains(t, err, name)
	}

	var many interface{ Unwrap() []error }
	require.ErrorAs(t, err, &many)
}
