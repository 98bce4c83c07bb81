package pgtest_test

import (
	"bufio"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestWatchdog_NothingOutlivesAKilledOwner(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	self, err := os.Executable()
	require.NoError(t, err)
	child := osexec.Command(self)
	child.Env = append(os.Environ(), childVariable+"=crashable")
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe() // ends the child if this test dies
	require.NoError(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)

	data := query[string](t, strings.TrimSpace(line), "show data_directory")
	dir := strings.TrimSuffix(data, "/data")
	require.DirExists(t, dir)
	require.NotEmpty(t, processesWith(t, dir))

	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait(), "killed")
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && len(processesWith(t, dir)) == 0
	}, 15*time.Second, 20*time.Millisecond)
}
