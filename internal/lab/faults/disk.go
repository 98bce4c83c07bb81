package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"
)

// missingMount says what a row lacks that mounts a disk.
func missingMount(options) string {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		return "Linux and root, to mount a small tmpfs"
	}
	return ""
}

const diskBytes = 4 << 20

// smallDisk puts the log on a disk of its own, of a few megabytes.
func smallDisk(ctx context.Context, s *scene) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	var data string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&data); err != nil {
		return err
	}

	dir := filepath.Join(filepath.Dir(data), "small-disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := mountSmall(dir, data, diskBytes); err != nil {
		return fmt.Errorf("mount: %w", err)
	}

	s.disk = dir
	s.finally(func() error {
		// The server still has files there: the mount goes when it ends.
		return unmount(dir)
	})

	for _, statement := range []string{
		"CREATE TABLESPACE small LOCATION '" + strings.ReplaceAll(dir, "'", "''") + "'",
		"ALTER TABLE pgcoherence.event SET TABLESPACE small",
		"ALTER INDEX pgcoherence.event_xid SET TABLESPACE small",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}

	return nil
}

// fillDisk fills the disk for a while. Who cannot log an event does not commit.
func fillDisk(ctx context.Context, s *scene) error {
	filler := filepath.Join(s.disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		return err
	}

	_, err = f.Write(make([]byte, 2*diskBytes)) // as much as there is room for
	_ = f.Close()

	if err == nil {
		return errors.New("the disk does not get full")
	}

	// Pages that the log has already are still written to.
	const event = "INSERT INTO pgcoherence.event (topic, keys) SELECT 'nobody', ARRAY[repeat('x', 1000)] FROM generate_series(1, 20)"
	full := false
	for range 100 {
		if full = s.exec(ctx, event) != nil; full {
			break
		}
	}

	before := s.load.failed.Load()
	err = s.last(ctx)
	failed := s.load.failed.Load() - before
	s.healed()

	if removeErr := os.Remove(filler); err == nil {
		err = removeErr
	}
	if s.note("%d writes failed while the disk was full", failed); err == nil && (!full || failed == 0) {
		err = errors.New("nobody noticed")
	}

	return err
}
