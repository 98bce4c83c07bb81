package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// debianBinaries is where Debian and its relatives put each major's programs,
// which are not on PATH there.
const debianBinaries = "/usr/lib/postgresql/*/bin"

// programs is a directory with initdb and postgres.
type programs string

func (p programs) initdb() string   { return filepath.Join(string(p), "initdb") }
func (p programs) postgres() string { return filepath.Join(string(p), "postgres") }

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

// findPrograms returns the directory given, or the first of those on PATH and
// of Debian's which has the programs.
func findPrograms(given string) (programs, error) {
	if !canRunBinaries {
		return "", errors.New("server binaries are run on Unix only")
	}
	if given != "" {
		// No second guess: another version than the one asked for would
		// make a test of versions pass for the wrong reason.
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
		// PATH may hold a link to postgres alone; the others are beside it.
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

// majorOf is the version in /usr/lib/postgresql/15/bin, which sorts by number.
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
