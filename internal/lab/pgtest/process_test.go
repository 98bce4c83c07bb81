package pgtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	p, err := pgtest.NewProcess()
	require.NoError(t, err)
	dir := p.Dir()
	require.ErrorIs(t, p.Kill(), pgtest.ErrNotRunning)
	script, err := p.WriteFile("script", "echo begins; trap 'echo ends; exit' TERM; while :; do sleep 0.01; done")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "script"), script)

	said := func(word string) func() bool { return func() bool { return strings.Contains(p.Log(), word) } }
	require.NoError(t, p.Start("sh", script))
	require.Eventually(t, said("begins"), time.Minute, time.Millisecond)
	require.NoError(t, p.Stop(t.Context()))
	require.True(t, said("ends")())

	require.NoError(t, p.Start("sh", script))
	require.NoError(t, p.Kill())
	<-p.Exited()
	require.NoError(t, p.Close())
	_, err = os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}
