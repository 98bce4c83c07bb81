package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// newMigration is the migration that yesterday's pods know nothing of.
const newMigration = "bus/migration/002_*.sql"

// versionFaults have pods of two versions in one cluster.
func versionFaults() []fault {
	old := &otherPods{commit: beforeMigration}
	other := &otherPods{commit: func(ctx context.Context) (string, error) { return git(ctx, "rev-parse", "HEAD") }, payload: 2}
	return []fault{
		{
			name: "versions-beside", about: "schema first, then code: pods from before the last migration are replaced one by one, back, and forward",
			plan: plan{before: old.prepare, tune: old.tune}, inject: old.roll, missing: old.missing,
		},
		{
			name: "payloads-beside", about: "the same between pods whose payloads are of different versions",
			plan: plan{before: other.prepare, tune: other.tune}, inject: other.roll, missing: other.missing,
		},
	}
}

// otherPods are pods of another version: those of this program at another commit, or with another version of payloads.
type otherPods struct {
	commit  func(context.Context) (string, error)
	payload int // the version of the payloads, written into the source; 0: as it is there

	program string // of the pods that are started now; empty: this one
	built   string
	unknown int64 // payloads of another version that pods have heard
}

// git runs git in this repository.
func git(ctx context.Context, args ...string) (string, error) {
	// A clone that belongs to another user makes git refuse.
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// beforeMigration is the last commit that has nothing of the migration.
func beforeMigration(ctx context.Context) (string, error) {
	root, err := git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	added, err := git(ctx, "-C", root, "log", "--diff-filter=A", "--format=%H", "--", newMigration)
	if err != nil {
		return "", err
	}
	all := strings.Fields(added)
	if len(all) == 0 {
		return "", errors.New("no commit adds " + newMigration)
	}
	return git(ctx, "rev-parse", "--verify", "--quiet", all[len(all)-1]+"~1^{commit}")
}

func (v *otherPods) missing(options) string {
	if _, err := exec.LookPath("go"); err != nil {
		return "the go command"
	}
	if _, err := v.commit(context.Background()); err != nil {
		return "the history of the repository: " + err.Error()
	}
	return ""
}

// tune makes pods those of the version that is started now.
func (v *otherPods) tune(_ int, c *podConfig) { c.Program = v.program }

// prepare builds the other version and makes its schema, in place of this one's.
func (v *otherPods) prepare(ctx context.Context, s *scene) error {
	tree, err := os.MkdirTemp("", "pgcoherence-version-")
	if err != nil {
		return err
	}
	s.finally(func() error { return os.RemoveAll(tree) })
	if err := v.extract(ctx, tree); err != nil {
		return err
	}
	v.built = filepath.Join(tree, "pods")
	if err := build(ctx, filepath.Join(tree, "internal", "lab", "faults"), v.built); err != nil {
		return err
	}
	v.program = v.built
	if v.payload != 0 {
		return nil // the schema is the same
	}

	if err := s.exec(ctx, "DROP SCHEMA pgcoherence CASCADE"); err != nil {
		return err
	}
	if err := v.migrate(ctx, tree, s.dsn); err != nil {
		return err
	}
	return s.setLease(ctx)
}

// extract writes the tree of the commit.
func (v *otherPods) extract(ctx context.Context, tree string) error {
	commit, err := v.commit(ctx)
	if err != nil {
		return err
	}

	root, err := git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}

	archive := filepath.Join(tree, "tree.tar")
	if _, err := git(ctx, "-C", root, "archive", "--output="+archive, commit); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-C", tree, "-xf", archive).CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	if v.payload == 0 {
		return nil
	}

	return replaceOnce(filepath.Join(tree, "internal", "wire", "message.go"), "const Version = 1\n", fmt.Sprintf("const Version = %d\n", v.payload))
}

// replaceOnce changes a source text, in which the words have to be.
func replaceOnce(path, from, to string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.Count(string(text), from) != 1 {
		return fmt.Errorf("%s: no %q", path, from)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600)
}

func build(ctx context.Context, dir, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", to, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w: %s", dir, err, out)
	}
	return nil
}

// oldMigration is a program in the other version's tree that makes its schema.
const oldMigration = `package main

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

func main() {
	pool, err := pgxpool.New(context.Background(), os.Getenv("DSN"))
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	if err := bus.Migrate(context.Background(), pool, nil); err != nil {
		panic(err)
	}
}
`

// migrate makes the other version's schema.
func (v *otherPods) migrate(ctx context.Context, tree, dsn string) error {
	dir := filepath.Join(tree, "internal", "lab", "faults", "oldmigration")
	if err := os.Mkdir(dir, 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(oldMigration), 0o600); err != nil {
		return err
	}

	program := filepath.Join(tree, "migrate")
	if err := build(ctx, dir, program); err != nil {
		return err
	}

	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "DSN="+dsn)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate as before: %w: %s", err, out)
	}

	return nil
}

// roll migrates, and replaces the pods one by one by those of this version, back by those of the other, and again.
func (v *otherPods) roll(ctx context.Context, s *scene) error {
	if v.payload == 0 {
		if err := v.forward(ctx, s); err != nil {
			return err
		}
	}

	for _, program := range []string{"", v.built, ""} {
		v.program = program
		for range s.plan.pods {
			if err := v.replaceOldest(ctx, s); err != nil {
				return err
			}
		}

		if err := pause(ctx, s.options.duration/2); err != nil {
			return err
		}
	}

	s.note("%d payloads of another version", v.unknown)

	if v.payload != 0 && v.unknown == 0 {
		return errors.New("no payload of another version arrived")
	}

	return nil
}

// forward migrates the schema under the running pods of the other version, which go on.
func (v *otherPods) forward(ctx context.Context, s *scene) error {
	var before, after int
	if err := s.query(ctx, "SELECT max(version) FROM pgcoherence.migration WHERE component = 'bus'", &before); err != nil {
		return err
	}

	pool, err := pgxpool.New(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()

	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	if err := s.query(ctx, "SELECT max(version) FROM pgcoherence.migration WHERE component = 'bus'", &after); err != nil {
		return err
	}
	if s.note("schema %d to %d under pods that know %d", before, after, before); before >= after {
		return errors.New("there was nothing to migrate")
	}

	return errors.Join(pause(ctx, s.options.duration/2), s.awaitLive(ctx))
}

// replaceOldest starts a pod, and ends the oldest one when all are in sync: what a rolling update does.
func (v *otherPods) replaceOldest(ctx context.Context, s *scene) error {
	oldest := s.pods()[0]

	if _, err := s.startPod(); err != nil {
		return err
	}
	if err := s.awaitLive(ctx); err != nil {
		return err
	}
	// Long enough for both versions to announce, sweep and confirm beside each other.
	if err := pause(ctx, s.timing.Lease/2); err != nil {
		return err
	}

	for _, m := range s.pods() {
		status, err := m.status(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.cfg.Name, err)
		}
		v.unknown += status.Stats.Unknown
	}

	oldest.stop()
	s.healed()
	return pause(ctx, 200*time.Millisecond)
}
