package redistest_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

var shared redistest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }

func TestServers(t *testing.T) {
	t.Parallel()
	master := redistest.New(t, &redistest.Config{TCP: true})
	for name, cfg := range map[string]*redistest.Config{
		"socket":   nil,
		"port":     {TCP: true},
		"password": {Password: "p:a/s@s"},
		"tls":      {TLS: true, Password: "secret"},
		"cluster":  {Cluster: true},
		"sentinel": {Sentinel: master},
		"replica":  {ReplicaOf: master},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, cfg)
			require.NotEmpty(t, s.URL())
			answer, err := s.Do(t.Context(), "PING")
			require.NoError(t, err)
			require.Equal(t, "+PONG", answer)
		})
	}
}

func TestRestartIsEmptyAtTheSameAddress(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, &redistest.Config{TCP: true})
	address := s.Address()
	_, err := s.Do(t.Context(), "SET", "key", "value")
	require.NoError(t, err)
	s.Stop()
	_, err = s.Do(t.Context(), "PING")
	require.Error(t, err)
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, address, s.Address())
	answer, err := s.Do(t.Context(), "GET", "key")
	require.NoError(t, err)
	require.Equal(t, "$-1", answer)
}

func TestSharedIsOne(t *testing.T) {
	t.Parallel()
	first, second := shared.Server(t), shared.Server(t)
	require.Same(t, first, second)
}

// fakeTB records how a test ended.
type fakeTB struct{ skipped, failed string }

func (*fakeTB) Helper()                             {}
func (*fakeTB) Cleanup(func())                      {}
func (*fakeTB) Context() context.Context            { return context.Background() }
func (f *fakeTB) Errorf(format string, args ...any) { f.failed = fmt.Sprintf(format, args...) }
func (f *fakeTB) Fatalf(format string, args ...any) { f.failed = fmt.Sprintf(format, args...) }
func (f *fakeTB) Skipf(format string, args ...any)  { f.skipped = fmt.Sprintf(format, args...) }

// It changes the environment, so it is not parallel.
func TestWithoutRedis(t *testing.T) {
	t.Setenv("PATH", os.TempDir())
	t.Setenv("CI", "")
	var quiet, ci fakeTB
	require.Nil(t, redistest.New(&quiet, nil))
	require.Contains(t, quiet.skipped, "NOT TESTED")
	require.Contains(t, quiet.skipped, "redis-server")
	t.Setenv("CI", "true")
	require.Nil(t, redistest.New(&ci, nil))
	require.Contains(t, ci.failed, "redis-server")
	require.Empty(t, ci.skipped)
}
