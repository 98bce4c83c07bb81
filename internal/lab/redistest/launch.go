package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func (s *Server) launch(ctx context.Context, program string) error {
	arguments, err := s.arguments()
	if err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	if s.run, err = startProcess(s.dir, program, arguments); err != nil {
		return fmt.Errorf("redistest: %w", err)
	}

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	if err := s.waitReady(ctx); err != nil {
		s.Stop()
		return fmt.Errorf("redistest: server does not start: %w\n%s", err, s.log())
	}

	return nil
}

func (s *Server) arguments() ([]string, error) {
	arguments := []string{
		"--dir", s.dir, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--protected-mode", "no",
		"--logfile", filepath.Join(s.dir, "log"), "--daemonize", "no",
	}
	port := strconv.Itoa(s.port)
	switch {
	case s.cfg.Sentinel != nil:
		// A sentinel needs a file that it can rewrite, and reads few settings from the command line.
		file := filepath.Join(s.dir, "sentinel.conf")
		_, watched, err := net.SplitHostPort(s.cfg.Sentinel.Address())
		if err != nil {
			return nil, err
		}

		text := fmt.Sprintf("port %s\nbind 127.0.0.1\nprotected-mode no\ndir %s\nlogfile %s\nsentinel monitor %s 127.0.0.1 %s 1\n",
			port, s.dir, filepath.Join(s.dir, "log"), MasterSet, watched) +
			"sentinel down-after-milliseconds " + MasterSet + " 1000\nsentinel failover-timeout " + MasterSet + " 3000\n"
		if of := s.cfg.Sentinel; of.cfg.Password != "" {
			text += fmt.Sprintf("sentinel auth-pass %s %q\n", MasterSet, of.cfg.Password)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}

		return append([]string{file, "--sentinel"}, s.cfg.Args...), nil
	case s.cfg.TLS:
		arguments = append(arguments, "--port", "0", "--tls-port", port, "--tls-auth-clients", "no",
			"--tls-cert-file", filepath.Join(s.dir, certificateFile), "--tls-key-file", filepath.Join(s.dir, keyFile),
			"--tls-ca-cert-file", filepath.Join(s.dir, certificateFile))
	case s.cfg.onPort():
		arguments = append(arguments, "--port", port)
	default:
		arguments = append(arguments, "--port", "0", "--unixsocket", s.Address())
	}

	if s.cfg.Cluster {
		arguments = append(arguments, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(s.dir, "nodes.conf"))
	}

	if of := s.cfg.ReplicaOf; of != nil {
		host, port, err := net.SplitHostPort(of.Address())
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, "--replicaof", host+" "+port, "--masterauth", of.cfg.Password)
	}

	if s.cfg.Password != "" {
		arguments = append(arguments, "--requirepass", s.cfg.Password)
	}

	return append(arguments, s.cfg.Args...), nil
}

// waitReady waits until the server replies, and until a cluster has its slots.
func (s *Server) waitReady(ctx context.Context) error {
	for {
		answer, err := s.Do(ctx, "PING")
		if err == nil && answer != "+PONG" {
			err = fmt.Errorf("%q", answer)
		}

		if err == nil && s.cfg.Cluster {
			// It fails if the node has its slots from before a restart.
			_, _ = s.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
			_, err = s.Do(ctx, "GET", "ready")
		}

		if err == nil {
			return nil
		}

		select {
		case <-s.run.ended:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// log returns the end of the server's log.
func (s *Server) log() []byte {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	lines := bytes.Split(text, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-12):], []byte("\n"))
}
