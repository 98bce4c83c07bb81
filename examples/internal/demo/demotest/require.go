package demotest

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// CommandLine is a case of RequireCommandLines: arguments, and the example's exit status and output for them.
type CommandLine struct {
	Args []string
	Code int
	Says string // on standard error
}

// RequireCommandLines checks how an example's main function handles command lines.
func RequireCommandLines(t *testing.T, run func(args []string, stdout, stderr io.Writer) int, all []CommandLine) {
	t.Helper()
	for _, c := range all {
		var stdout, stderr bytes.Buffer
		require.Equal(t, c.Code, run(c.Args, &stdout, &stderr), "%q", c.Args)
		require.Contains(t, stderr.String(), c.Says)
		require.Empty(t, stdout.String())
		if c.Code != 0 {
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line: %q", stderr.String())
		}
	}
}

// RequireSilence checks that no process listens on the addresses of an example any more.
func RequireSilence(t *testing.T, addresses []string) {
	t.Helper()
	for _, address := range addresses {
		require.Eventually(t, func() bool {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		}, 10*time.Second, 20*time.Millisecond, "%s still accepts connections", address)
	}
}

// RequireNoFiles checks that no temporary file outlives the example.
func (o Output) RequireNoFiles(t *testing.T) {
	t.Helper()
	// The server's directory is removed last, after the server has ended.
	require.Eventually(t, func() bool {
		left, err := os.ReadDir(o.Tmp)
		return err == nil && len(left) == 0
	}, 20*time.Second, 50*time.Millisecond, "temporary files remain")
}
