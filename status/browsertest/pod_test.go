package browsertest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/status"
)

// podVariable marks this program as a pod and carries its podConfig.
const podVariable = "PGCOHERENCE_BROWSERTEST_POD"

type podConfig struct {
	Name, DSN, Token, ActionToken string
}

// podMain is a pod with some traffic of its own. It ends when its input does, so nothing outlives the test.
func podMain(text string) error {
	var cfg podConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	pool, err := pgxpool.New(ctx, cfg.DSN)
	if err != nil {
		return err
	}
	defer pool.Close()

	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	b, err := bus.NewPostgres(pool, &bus.Config{Name: cfg.Name, Version: "v1.4.2", Logger: log})
	if err != nil {
		return err
	}

	var caches []*cache.Cache[string, string]
	conf := &status.Config{Name: cfg.Name, Version: "v1.4.2", Token: cfg.Token, ActionToken: cfg.ActionToken, Logger: log, Tiers: map[string]status.Tier{"users": tier{}, "settings": tier{}}}
	for _, topic := range []string{"users", "settings", "permissions", "feature-flags"} {
		c, err := cache.New(b, topic, cache.Func(func(_ context.Context, key string) (string, error) { return key, nil }),
			&cache.Config[string, string]{Logger: log})
		if err != nil {
			return err
		}
		caches = append(caches, c)
		conf.Caches = append(conf.Caches, c)
	}

	defer func() {
		for _, c := range caches {
			_ = c.Close()
		}
	}()

	locker, err := lock.New(b, pool, &lock.Config{Owner: cfg.Name, Logger: log})
	if err != nil {
		return err
	}

	sessions, err := sessionstore.New[map[string]string](b, pool, &sessionstore.Config[map[string]string]{Logger: log, SweepInterval: time.Second})
	if err != nil {
		return err
	}

	conf.Lockers, conf.Sessions = []status.Locker{locker}, []status.Sessions{sessions}
	h, err := status.New(b, conf)
	if err != nil {
		return err
	}

	return run(ctx, b, caches, locker, sessions, h)
}

func run(
	ctx context.Context, b *bus.Postgres, caches []*cache.Cache[string, string], locker *lock.Locker,
	sessions *sessionstore.Store[map[string]string], h *status.Handler,
) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/_pgcoherence/", http.StripPrefix("/_pgcoherence", h))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	fmt.Println(listener.Addr())

	var wg sync.WaitGroup
	for _, f := range []func(context.Context) error{b.Run, locker.Run, sessions.Run, h.Run} {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}

	wg.Go(func() { traffic(ctx, b, caches, locker, sessions) })

	wg.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, err)
		}
	})

	<-ctx.Done()
	h.Drain()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()

	err = server.Shutdown(grace)
	wg.Wait()
	return err
}

// traffic reads, writes now and then, holds a lease or waits for it, and has users that log in, look around and leave.
func traffic(
	ctx context.Context, b *bus.Postgres, caches []*cache.Cache[string, string], locker *lock.Locker,
	sessions *sessionstore.Store[map[string]string],
) {
	<-b.Ready()
	var wg sync.WaitGroup
	defer wg.Wait()

	wg.Go(func() {
		_ = locker.Do(ctx, "nightly-report", func(ctx context.Context, _ *lock.Lease) error {
			<-ctx.Done()
			return nil
		})
	})

	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()

	var tokens []string
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}

		for n, c := range caches {
			for range 6 {
				_, _ = c.Get(ctx, strconv.Itoa(int(rand.ExpFloat64()*float64(20+60*n))))
			}
		}

		if c := caches[rand.N(len(caches))]; i%5 == 0 {
			_, _ = c.Invalidate(ctx, strconv.Itoa(rand.N(200)))
		}

		if i%25 == 0 {
			if login, err := sessions.BeginLogin(ctx, "user-"+strconv.Itoa(rand.N(1000))); err == nil {
				if token, _, err := sessions.Create(ctx, login, map[string]string{"theme": "dark"}, nil); err == nil {
					tokens = append(tokens, token)
				}
			}
		}

		if len(tokens) > 0 {
			_, _ = sessions.Get(ctx, tokens[rand.N(len(tokens))])
		}

		if len(tokens) > 5 && i%100 == 0 {
			_, _ = sessions.Revoke(ctx, tokens[0])
			tokens = tokens[1:]
		}
	}
}

type tier struct{}

func (tier) Ping(context.Context) error { return nil }

// process is a pod as the test sees it.
type process struct {
	cmd  *exec.Cmd
	url  string
	gone chan struct{}
}

func startPod(t *testing.T, cfg podConfig) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), podVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{cmd: cmd, gone: make(chan struct{})}
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the pod says where it listens")
	p.url = "http://" + lines.Text() + "/_pgcoherence/"
	go func() {
		_ = cmd.Wait()
		close(p.gone)
	}()

	t.Cleanup(func() {
		_ = stdin.Close()
		select {
		case <-p.gone:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-p.gone
		}
	})

	return p
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	<-p.gone
}
