package pgtest_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// mirror serves the binaries of this machine as a repository would.
func mirror(t *testing.T, bin string) *httptest.Server {
	t.Helper()
	xz, err := osexec.LookPath("xz")
	if err != nil {
		pgtest.Missing(t, "downloads: xz is not on PATH (Debian: apt-get install xz-utils)")
	}
	root := filepath.Dir(bin)
	names := []string{"bin/initdb", "bin/postgres"}
	for _, library := range []string{"dict_snowball.so", "plpgsql.so", "libpqwalreceiver.so"} {
		names = append(names, "lib/"+library)
		if _, err := os.Stat(filepath.Join(root, "lib", library)); err != nil {
			// Other builds need all their libraries, which take half a minute to unpack
			// under the race detector.
			t.Skip("\n*** NOT TESTED: downloads: only Debian's binaries, which find their shared files where they are, make a small archive")
		}
	}
	archive := filepath.Join(t.TempDir(), "postgres.txz")
	tar := osexec.Command("tar", append([]string{"-C", root, "-I", xz + " -0 -T2", "-cf", archive}, names...)...)
	out, err := tar.CombinedOutput()
	require.NoError(t, err, string(out))
	content, err := os.ReadFile(archive)
	require.NoError(t, err)

	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	entry, err := w.CreateHeader(&zip.FileHeader{Name: "postgres.txz", Method: zip.Store})
	require.NoError(t, err)
	_, err = entry.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	sum := sha256.Sum256(jar.Bytes())

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return server
}

func TestStart_DownloadedBinariesCanDoAll(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	server := pgtest.NewServer(t, &pgtest.Config{
		Kind:          pgtest.KindDownload,
		Mirror:        mirror(t, pgtest.LocalBinaries(t)).URL,
		DownloadCache: t.TempDir(),
	})
	require.Equal(t, pgtest.KindDownload, server.Kind())
	require.NoError(t, server.Crash(t.Context()))
	require.NoError(t, server.Start(t.Context()))
	dir := directory(t, server)

	standby, err := server.Standby(t.Context())
	require.NoError(t, err)
	require.NoError(t, server.Close())
	require.NoDirExists(t, dir)
	require.NoError(t, standby.Promote(t.Context()))
	require.NoError(t, standby.Restart(t.Context(), pgtest.Fast), "the binaries were copied, too")
	dir = directory(t, standby)
	require.NoError(t, standby.Close())
	require.NoDirExists(t, dir)
}
