package redistier_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

func TestPassword(t *testing.T) {
	t.Parallel()
	const password = "p:a/s@s word"
	server := redistest.New(t, &redistest.Config{TCP: true, Password: password})
	p := prefix()
	cachetest.TierContract(t, func() cache.Tier { return open(t, redistier.Config{URL: server.URL(), KeyPrefix: p}) })

	bare := "redis://" + server.Address()
	byField := open(t, redistier.Config{URL: bare, Password: password})
	require.NoError(t, byField.Ping(t.Context()))

	var log bytes.Buffer
	for _, wrong := range []redistier.Config{
		{URL: bare},
		{URL: bare, Password: "hunter2"},
		{URL: "redis://:hunter2@" + server.Address()},
		{URL: "redis://someone:hunter2@" + server.Address()},
	} {
		wrong.Logger = slog.New(slog.NewTextHandler(&log, nil))
		tier := open(t, wrong)
		err := tier.Ping(t.Context())
		require.Error(t, err)
		require.Regexp(t, "NOAUTH|WRONGPASS", err.Error())
		require.NotContains(t, err.Error(), "hunter2")
		tier.Close()
	}
	require.Contains(t, log.String(), "redis is not reachable")
	require.NotContains(t, log.String(), "hunter2")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, &redistest.Config{TLS: true, Password: "secret"})
	p := prefix()
	cachetest.TierContract(t, func() cache.Tier {
		return open(t, redistier.Config{URL: server.URL(), KeyPrefix: p, TLS: &tls.Config{RootCAs: server.CA(), MinVersion: tls.VersionTLS12}})
	})

	// The certificate of a server is checked: against the CAs, and the name.
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, open(t, redistier.Config{URL: server.URL()}).Ping(t.Context()), &unknown)
	var name x509.HostnameError
	other := &tls.Config{RootCAs: server.CA(), ServerName: "redis.example", MinVersion: tls.VersionTLS12}
	require.ErrorAs(t, open(t, redistier.Config{URL: server.URL(), TLS: other}).Ping(t.Context()), &name)

	// Without TLS a server with TLS is only junk, and the other way round.
	plain := strings.Replace(server.URL(), "rediss://", "redis://", 1)
	require.Error(t, open(t, redistier.Config{URL: plain}).Ping(within(t, 5*time.Second)))
	require.NoError(t, open(t, redistier.Config{URL: plain, TLS: &tls.Config{RootCAs: server.CA()}}).Ping(t.Context())) //nolint:gosec // raised
}

func TestDatabases(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, nil)
	p := prefix()
	zero := open(t, redistier.Config{URL: server.URL(), KeyPrefix: p})
	byURL := open(t, redistier.Config{URL: server.URL() + "?db=3", KeyPrefix: p})
	byField := open(t, redistier.Config{URL: server.URL(), DB: 3, KeyPrefix: p})
	require.NoError(t, byURL.Set(t.Context(), "k", []byte("v"), time.Hour))
	_, err := zero.Get(t.Context(), "k")
	require.ErrorIs(t, err, cache.ErrTierMiss)
	value, err := byField.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "v", string(value))
	require.Error(t, open(t, redistier.Config{URL: server.URL(), DB: 999}).Ping(t.Context()))
}

func TestCluster(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, &redistest.Config{Cluster: true})
	p := prefix()
	cachetest.TierContract(t, func() cache.Tier { return open(t, redistier.Config{URL: server.URL(), KeyPrefix: p, PoolSize: 4}) })

	// Without its slots a cluster is down, and with them it is back.
	tier := open(t, redistier.Config{URL: server.URL()})
	require.NoError(t, tier.Set(t.Context(), "k", []byte("v"), time.Hour))
	_, err := server.Do(t.Context(), "CLUSTER", "DELSLOTSRANGE", "0", "16383")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		err := tier.Set(within(t, 5*time.Second), "k", []byte("v"), time.Hour)
		return err != nil && strings.Contains(err.Error(), "CLUSTERDOWN")
	}, patience, 5*time.Millisecond)
	_, err = server.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	require.NoError(t, err)
	recovers(t, tier)

	require.NoError(t, server.Freeze())
	err = returns(t, func() error { return tier.Delete(within(t, 100*time.Millisecond), "a", "b") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, server.Thaw())
	recovers(t, tier)
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	const password = "of the servers"
	master := redistest.New(t, &redistest.Config{TCP: true, Password: password})
	sentinel := redistest.New(t, &redistest.Config{
		Sentinel: master,
	})
	u, err := url.Parse(sentinel.URL())
	require.NoError(t, err)
	u.User = url.UserPassword("", password)
	p := prefix()
	cachetest.TierContract(t, func() cache.Tier { return open(t, redistier.Config{URL: u.String(), KeyPrefix: p, PoolSize: 4}) })

	tier := open(t, redistier.Config{URL: u.String()})
	require.NoError(t, tier.Set(t.Context(), "k", []byte("v"), time.Hour))
	require.NoError(t, master.Restart(t.Context()))
	recovers(t, tier)
}
