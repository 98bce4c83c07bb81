package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// etcdScript runs etcd until its own standard input ends, which is when the
// program that started it does, in whatever way.
const etcdScript = `"$0" --data-dir "$1/data" --listen-client-urls "$2" --advertise-client-urls "$2" --listen-peer-urls "$3" \
	--initial-advertise-peer-urls "$3" --initial-cluster "default=$3" --logger zap --log-level error 1>&2 &
cat >/dev/null
kill -KILL $!
wait
rm -rf "$1"`

// startEtcd starts one etcd, which has every write on disk before it answers.
func (p *lockPeers) startEtcd(ctx context.Context, clients int) error {
	program, err := exec.LookPath("etcd")
	if err != nil {
		return errors.ErrUnsupported
	}

	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return err
	}

	urls := [2]string{}
	for i := range urls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		urls[i] = "http://" + l.Addr().String()
		l.Close()
	}

	cmd := exec.Command("sh", "-c", etcdScript, program, dir, urls[0], urls[1])
	var words bytes.Buffer
	cmd.Stderr = &words
	leash, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("etcd: %w", err), os.RemoveAll(dir))
	}

	p.closers = append(p.closers, func() error { return errors.Join(leash.Close(), cmd.Wait()) })
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{urls[0]}, DialTimeout: patience, Logger: zap.NewNop(), Context: context.WithoutCancel(ctx),
	})
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}

	p.closers = append(p.closers, client.Close)
	side := &lockEtcd{client: client}
	for range clients {
		if err := side.open(ctx); err != nil {
			return fmt.Errorf("etcd: %w\n%s", err, words.Bytes())
		}
	}

	p.closers = append(p.closers, side.closeSessions)
	p.sides = append(p.sides, side)
	return nil
}

// lockEtcd is etcd's own recipe: concurrency.Mutex, in a session for each client.
type lockEtcd struct {
	client *clientv3.Client

	mu       sync.Mutex
	sessions []*concurrency.Session // that are not in use
}

func (l *lockEtcd) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lease, err := l.client.Grant(ctx, int64(lockTTL/time.Second)) // NewSession would not end with ctx
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(l.client, concurrency.WithLease(lease.ID))
	if err == nil {
		l.put(session)
	}
	return err
}

func (l *lockEtcd) put(s *concurrency.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = append(l.sessions, s)
}

func (l *lockEtcd) get() *concurrency.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.sessions) - 1
	s := l.sessions[last]
	l.sessions = l.sessions[:last]
	return s
}

func (l *lockEtcd) closeSessions() error {
	var errs []error
	for _, s := range l.sessions {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (l *lockEtcd) name() string                                 { return "etcd" }
func (l *lockEtcd) title() string                                { return "etcd, concurrency.Mutex" }
func (l *lockEtcd) start(context.Context) error                  { return nil }
func (l *lockEtcd) stop(context.Context, int64) error            { return nil }
func (l *lockEtcd) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }

func (l *lockEtcd) take(ctx context.Context, key string) (func(context.Context) error, error) {
	session := l.get()
	mutex := concurrency.NewMutex(session, key)
	if err := mutex.Lock(ctx); err != nil {
		l.put(session)
		return nil, err
	}
	return func(ctx context.Context) error {
		defer l.put(session)
		return mutex.Unlock(ctx)
	}, nil
}
