package redistest

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrUnavailable is returned by Start when there is no redis-server on PATH. Install it.
var ErrUnavailable = errors.New("redistest: no redis-server on PATH; Debian has it in the package redis-server")

// startTimeout bounds the start of a server, on a busy machine.
const startTimeout = 20 * time.Second

// Server is a Redis server. Its methods must not be called concurrently.
type Server struct {
	cfg  Config
	dir  string
	port int
	ca   *x509.CertPool
	run  *process // nil while stopped
}

// Start starts a server. A nil cfg means the zero Config. The caller owns the server and calls Close.
func Start(ctx context.Context, cfg *Config) (*Server, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrUnavailable
	}

	s := &Server{}
	if cfg != nil {
		s.cfg = *cfg
	}
	// A short name, because the length of a socket's path is limited.
	if s.dir, err = os.MkdirTemp("", "redis"); err != nil {
		return nil, fmt.Errorf("redistest: %w", err)
	}

	if s.cfg.TLS {
		if s.ca, err = writeCertificate(s.dir); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}

	// Another process may take a free port before the server does.
	for range 5 {
		if s.cfg.onPort() {
			if s.port, err = freePort(); err != nil {
				break
			}
		}
		if err = s.launch(ctx, program); err == nil {
			return s, nil
		}
	}

	return nil, errors.Join(err, s.Close())
}

// Close stops the server and removes its directory.
func (s *Server) Close() error {
	s.Stop()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	return nil
}

// Stop kills the server: connections end, and its data is gone.
func (s *Server) Stop() {
	if s.run != nil {
		s.run.kill()
		s.run = nil
	}
}

// Restart stops the server if it runs, and starts it again, empty, at the same address.
func (s *Server) Restart(ctx context.Context) error {
	s.Stop()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return ErrUnavailable
	}
	return s.launch(ctx, program)
}

// Freeze stops the server's process (SIGSTOP): connections stay open, and the kernel still accepts new ones.
func (s *Server) Freeze() error { return s.run.freeze() }

// Thaw continues a frozen server. It is a no-op for one that is stopped.
func (s *Server) Thaw() error {
	if s.run == nil {
		return nil // stopped
	}
	return s.run.thaw()
}

// Address returns host:port, or the path of the socket.
func (s *Server) Address() string {
	if s.cfg.onPort() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	}
	return filepath.Join(s.dir, "s")
}

// URL returns the server's URL, including its password. For a sentinel it is the URL of the server that it watches.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Address()}
	switch {
	case s.cfg.TLS:
		u.Scheme = "rediss"
	case !s.cfg.onPort():
		u = url.URL{Scheme: "unix", Path: s.Address()}
	case s.cfg.Sentinel != nil:
		u.RawQuery = "master_set=" + MasterSet
	}
	if s.cfg.Password != "" {
		u.User = url.UserPassword("", s.cfg.Password)
	}
	return u.String()
}

// CA returns the pool that verifies the certificate of a server with TLS.
func (s *Server) CA() *x509.CertPool { return s.ca }

// Do sends a command and returns the first line of the reply. An error reply is returned as an error.
func (s *Server) Do(ctx context.Context, words ...string) (string, error) {
	var line string
	err := s.ask(ctx, words, func(first string, _ *bufio.Reader) error { line = first; return nil })
	return line, err
}

// Lines sends a command whose reply is a text of several lines, such as INFO, and returns them.
func (s *Server) Lines(ctx context.Context, words ...string) ([]string, error) {
	var text []byte
	err := s.ask(ctx, words, func(first string, rest *bufio.Reader) error {
		n, err := strconv.Atoi(strings.TrimPrefix(first, "$"))
		if err != nil {
			return err
		}
		text = make([]byte, n)
		_, err = io.ReadFull(rest, text)
		return err
	})
	return strings.Fields(string(text)), err
}

func (s *Server) ask(ctx context.Context, words []string, read func(first string, rest *bufio.Reader) error) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()

	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}

	r := bufio.NewReader(conn)
	if s.cfg.Password != "" {
		if _, err := exchange(conn, r, "AUTH", s.cfg.Password); err != nil {
			return err
		}
	}

	first, err := exchange(conn, r, words...)
	if err != nil {
		return err
	}

	return read(first, r)
}

func (s *Server) dial(ctx context.Context) (net.Conn, error) {
	if s.cfg.TLS {
		return (&tls.Dialer{Config: &tls.Config{RootCAs: s.ca, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", s.Address())
	}
	network := "unix"
	if s.cfg.onPort() {
		network = "tcp"
	}
	return (&net.Dialer{}).DialContext(ctx, network, s.Address())
}

func exchange(conn net.Conn, r *bufio.Reader, words ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))

	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}

	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}

	line, err := r.ReadString('\n')
	line = strings.TrimSpace(line)
	if err == nil && strings.HasPrefix(line, "-") {
		err = fmt.Errorf("redistest: %s: %s", words[0], line[1:])
	}

	return line, err
}

func freePort() (int, error) {
	// A cluster node also listens on the port 10,000 above.
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		_, text, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		port, err := strconv.Atoi(text)
		if err != nil || port < 55_000 {
			return port, err
		}
	}
}
