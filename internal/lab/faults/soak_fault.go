package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// soakFault is a fault that can be brought about again and again in one cluster, and beside another.
type soakFault struct {
	name  string
	class soakClass
	redis bool // it needs one
	// inject brings the fault about and heals it.
	inject func(context.Context, *scene) error
}

// soakClass is what a fault happens to. Two faults at once are of two classes: two of one would heal each other.
type soakClass string

const (
	onConnections soakClass = "connections"
	onNetwork     soakClass = "network"
	onServer      soakClass = "server"
	onLog         soakClass = "log"
	onPods        soakClass = "pods"
	onLoad        soakClass = "load"
	onChannel     soakClass = "channel"
	onSubscriber  soakClass = "subscriber"
	onRedis       soakClass = "redis"
	alone         soakClass = "alone" // beside no other
)

// ofMatrix are the rows of the matrix that a soak takes as they are, and what they happen to.
var ofMatrix = map[string]soakClass{
	"backend-terminated": onConnections, "listen-terminated": onConnections, "control-terminated": onConnections,
	"control-cut": onNetwork, "listen-cut": onNetwork, "listen-cut-all": onNetwork, "blackhole-in": onNetwork,
	"blackhole-out": onNetwork, "blackhole-both": onNetwork, "latency-50ms": onNetwork, "bandwidth-10kBs": onNetwork,
	"sliced": onNetwork, "lock-deaf": onNetwork,
	"pg-fast-restart": onServer, "pg-immediate": onServer, "backend-sigkill": onServer, "postmaster-sigkill": onServer,
	"truncate": onLog, "vacuum-full": onLog, "prepared-transaction": alone,
	"publisher-killed": onPods, "sigstop-pod": onPods, "sigstop-sweeper": onPods,
	"junk-payloads":   onChannel,
	"subscriber-slow": onSubscriber, "subscriber-blocked": onSubscriber, "subscriber-panicking": onSubscriber,
	"redis-killed": onRedis, "redis-flushed": onRedis, "redis-stopped": onRedis, "redis-restored": onRedis, "redis-junk": onRedis,
	"session-redis-forged": onRedis,
}

// notSoaked says of every other row why not.
var notSoaked = map[string]string{
	"none":                   "the calm between two faults",
	"blackhole-slow-loads":   "another loader: the row blackhole-both without it",
	"promote":                "loses commits, so all oracles would have to forget: failover-synchronous loses none",
	"promote-held":           "the same, and it needs the pods' ids for itself",
	"schema-dropped":         "takes sessions and leases with it",
	"pruning":                "pods prune after two seconds here all the while",
	"unknown-outcome":        "makes each commit slow for good; lock-deaf loses the answers of all",
	"pool-exhausted":         "pods of another size: pool-starved",
	"notify-queue-full":      "another server's setting",
	"long-transaction":       "in a database of its own: write-transaction-open",
	"many-in-progress":       "another server's setting",
	"50-pods":                "pods in one process",
	"dump-restored":          "sessions and leases of before would be right again",
	"pgbouncer":              "another way to the server",
	"pgbouncer-connect":      "another way to the server",
	"disk-full":              "another disk",
	"clock-leaps":            "another clock, by which deadlines of sessions are judged",
	"clock-stepped":          "another clock, by which deadlines of sessions are judged",
	"redis-none":             "the calm",
	"redis-slow-loads":       "another loader",
	"redis-failover":         "another way to Redis",
	"redis-replica":          "another way to Redis",
	"redis-publisher-killed": "publisher-killed, with a Redis here as well",
	"redis-crash":            "postmaster-sigkill, with a Redis here as well",
	"redis-promote":          "as promote",
	"redis-late-pod":         "more pods each time; publisher-killed starts new ones",
	"lock-none":              "the calm", "lock-terminated": "backend-terminated", "lock-blackhole": "blackhole-both",
	"lock-sigstop": "sigstop-pod", "lock-sigkill": "publisher-killed", "lock-postmaster-sigkill": "postmaster-sigkill",
	"lock-restart": "pg-fast-restart", "lock-failover": "as promote", "lock-sql": "half of the clients use SQL here all the while",
	"lock-sql-sigkill": "publisher-killed", "lock-sql-sigstop": "sigstop-pod", "lock-giving-up": "needs the pods for itself",
	"session-none": "the calm", "session-planted": "done here all the while", "session-forgotten": "done here all the while",
	"session-breach": "done here all the while", "session-terminated": "backend-terminated", "session-listen-cut": "listen-cut",
	"session-blackhole": "blackhole-both", "session-deaf": "lock-deaf", "session-sigstop": "sigstop-pod",
	"session-sigkill": "publisher-killed", "session-postmaster-sigkill": "postmaster-sigkill", "session-skew": "another clock",
	"session-redis-restored": "redis-restored", "session-redis-crash": "postmaster-sigkill",
	"lock-share-none":                  "leases of another kind",
	"lock-share-terminated":            "leases of another kind",
	"lock-share-blackhole":             "leases of another kind",
	"lock-share-deaf":                  "leases of another kind",
	"lock-share-sigstop":               "leases of another kind",
	"lock-share-sigkill":               "leases of another kind",
	"lock-share-postmaster-sigkill":    "leases of another kind",
	"lock-share-restart":               "leases of another kind",
	"lock-share-failover":              "leases of another kind",
	"lock-share-sql":                   "leases of another kind",
	"lock-takeover-sigkill":            "leases of another kind",
	"lock-takeover-terminated":         "leases of another kind",
	"lock-takeover-blackhole":          "leases of another kind",
	"lock-takeover-sigstop":            "leases of another kind",
	"lock-takeover-postmaster-sigkill": "leases of another kind",
	"lock-takeover-failover":           "leases of another kind",
	"versions-beside":                  "pods of another version", "payloads-beside": "pods of another version",
}

// soakFaults are all faults of a soak, in a fixed order: a seed picks by position.
func soakFaults(withRedis bool) []soakFault {
	all := []soakFault{
		{name: "failover-synchronous", class: alone, inject: failOverSynchronous},
		{name: "pool-starved", class: onLoad, inject: starved},
		{name: "write-transaction-open", class: onLoad, inject: transactionOpen},
	}
	for _, f := range faults() {
		class, ok := ofMatrix[f.name]
		if needs := f.plan.tier != noTier; ok && (withRedis || !needs) {
			all = append(all, soakFault{name: f.name, class: class, redis: needs, inject: f.inject})
		}
	}
	return all
}

// starved takes all connections from the pools of all pods but one.
func starved(ctx context.Context, s *scene) error {
	for _, m := range s.pods()[1:] {
		// A pool that is in trouble already has none to take.
		_ = m.call(ctx, "Suffer", Trouble{Starve: s.options.duration}, new(int))
	}
	return s.last(ctx)
}

// transactionOpen keeps a transaction with an id open, which all snapshots then have in progress.
func transactionOpen(ctx context.Context, s *scene) error {
	conn, err := pgx.Connect(ctx, s.truthDSN())
	if err != nil {
		return err
	}
	defer disconnect(conn)
	if _, err := conn.Exec(ctx, "BEGIN; SELECT pg_current_xact_id()"); err != nil {
		return err
	}
	return s.last(ctx)
}

// failOverSynchronous kills a primary whose commits wait for its standby, and promotes that: nothing that was answered
// is lost, so every oracle goes on.
func failOverSynchronous(ctx context.Context, s *scene) error {
	standby, err := s.server.Standby(ctx)
	if err != nil {
		return err
	}
	taken := false
	s.finally(func() error {
		if taken {
			return nil // it is the scene's server now
		}
		return standby.Close()
	})
	if err := s.answers(ctx); err != nil { // the copy took a restart
		return err
	}
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := execOn(ctx, s.server.DSN(""), statement); err != nil {
			return fmt.Errorf("make commits wait for the standby: %w", err)
		}
	}
	if err := s.synchronous(ctx); err != nil {
		return err
	}
	if err := s.last(ctx); err != nil {
		return err
	}

	if err := errors.Join(s.server.Crash(ctx), standby.Promote(ctx)); err != nil {
		return err
	}
	host, err := hostOf(standby.DSN(""))
	if err != nil {
		return err
	}
	taken = true
	s.takeOver(standby)
	for _, l := range s.links {
		for _, way := range allPaths {
			if err := l.lead(way, host); err != nil {
				return err
			}
		}
	}
	return nil
}

// synchronous waits until commits wait for a standby.
func (s *scene) synchronous(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, livePatience, errors.New("the standby does not become synchronous"))
	defer cancel()
	for {
		n := 0
		err := s.query(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", &n)
		if err == nil && n == 1 {
			return nil
		}
		if pauseErr := pause(ctx, 5*time.Millisecond); pauseErr != nil {
			return errors.Join(pauseErr, err)
		}
	}
}

// takeOver makes another server the scene's. The one before is ended with the scene.
func (s *scene) takeOver(server *pgtest.Server) {
	s.finally(s.server.Close)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
	s.dsn = server.DSN(database)
	s.truth, s.podDSN = s.dsn, s.dsn
}
