package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// debianBinaries is where Debian and its derivatives install each major version,
// outside of PATH.
const debianBinaries = "/usr/lib/postgresql/*/bin"

// programs is the path of a directory with initdb and postgres.
type programs string

func (p programs) initdb() string   { return filepath.Join(string(p), "initdb") }
func (p programs) postgres() string { return filepath.Join(string(p), "postgres") }

// checksumsByDefault reports whether initdb enables data checksums unless told otherwise, as since version 18.
func (p programs) checksumsByDefault(ctx context.Context) bool {
	help, err := exec.CommandContext(ctx, p.initdb(), "--help").Output()
	return err == nil && bytes.Contains(help, []byte("--no-data-checksums"))
}

func startBinaries(ctx context.Context, c Config) (*Server, error) {
	found, err := findPrograms(c.Binaries)
	if err != nil {
		return nil, err
	}
	return startCluster(ctx, c, found)
}

// startCluster makes a new cluster with the programs and starts it.
func startCluster(ctx context.Context, c Config, p programs) (*Server, error) {
	cluster, err := newCluster(p, c.Settings, c.Environment, c.Password)
	if err != nil {
		return nil, err
	}
	if err := cluster.initialise(ctx); err != nil {
		return nil, errors.Join(err, cluster.close(context.WithoutCancel(ctx)))
	}
	return &Server{base: cluster.dsn(), from: string(p), cluster: cluster}, nil
}

// findPrograms returns the given directory, or else the first directory with the
// programs among those on PATH and Debian's.
func findPrograms(given string) (programs, error) {
	if !canRunBinaries {
		return "", errors.New("server binaries are run on Unix only")
	}

	if given != "" {
		// No fallback: with another version than the one asked for, a test of
		// versions would pass for the wrong reason.
		found, err := programsIn(given)
		if err != nil {
			return "", fmt.Errorf("%s: %w", EnvBinaries, err)
		}
		return found, nil
	}

	var failed []error
	if path, err := exec.LookPath("postgres"); err != nil {
		failed = append(failed, err)
	} else if real, err := filepath.EvalSymlinks(path); err != nil {
		failed = append(failed, err)
	} else if found, err := programsIn(filepath.Dir(real)); err != nil {
		// PATH may contain a link to postgres alone; the other programs are beside its target.
		failed = append(failed, err)
	} else {
		return found, nil
	}

	// The pattern is constant and well formed.
	dirs, _ := filepath.Glob(debianBinaries)
	slices.SortFunc(dirs, func(a, b string) int { return majorOf(b) - majorOf(a) })

	for _, dir := range dirs {
		found, err := programsIn(dir)
		if err == nil {
			return found, nil
		}
		failed = append(failed, err)
	}

	if len(dirs) == 0 {
		failed = append(failed, fmt.Errorf("nothing matches %s", debianBinaries))
	}

	return "", errors.Join(failed...)
}

// majorOf returns the 15 of /usr/lib/postgresql/15/bin.
func majorOf(bin string) int {
	major, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return major
}

// programsIn checks that both programs are in dir and can be executed.
func programsIn(dir string) (programs, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}

	p := programs(absolute)
	for _, path := range []string{p.initdb(), p.postgres()} {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
			return "", fmt.Errorf("%s is not executable", path)
		}
	}

	return p, nil
}
