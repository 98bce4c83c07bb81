package pgtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// containerTimeout keeps an engine that retries an unreachable registry from
// using up the time that other kinds may need.
const containerTimeout = 90 * time.Second

// container is the program that runs a container: the container goes when the
// program's input ends, which it also does when this process dies.
type container struct {
	cmd    *exec.Cmd
	dir    string // where the program is; removed by close
	input  io.Closer
	line   chan []byte   // gets the program's only line
	stderr bytes.Buffer  // readable once ended is closed
	ended  chan struct{} // closed when the program has ended
	err    error         // set before ended is closed
}

// address is the line that the program writes.
type address struct {
	Hosts []string `json:"hosts"`
	Port  int      `json:"port"`
}

func startContainer(ctx context.Context, c Config) (*Server, error) {
	path, dir, err := buildSource(ctx, "container")
	if err != nil {
		return nil, err
	}
	program, err := runContainer(path, c)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	program.dir = dir

	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	base, err := program.await(ctx, c.Password)
	if err != nil {
		// ctx may have ended.
		end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancelEnd()
		return nil, errors.Join(err, program.close(end))
	}
	return &Server{base: base, from: c.Image, release: program.close}, nil
}

// runContainer starts the program.
func runContainer(path string, c Config) (*container, error) {
	args := []string{"-image", c.Image, "-name", "pgtest_" + randomHex(6), "-user", superuser, "--"}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		args = append(args, name+"="+c.Settings[name])
	}
	cmd := exec.Command(path, args...)                       // without a context: close ends it
	cmd.Env = append(os.Environ(), "PGPASSWORD="+c.Password) // arguments are seen by all users of the machine

	program := &container{cmd: cmd, line: make(chan []byte, 1), ended: make(chan struct{})}
	cmd.Stderr = &program.stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	program.input = input
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go program.follow(output)
	return program, nil
}

// await waits until a login succeeds, and not for a log line or a command inside
// the container: this works with every image, and the temporary server that
// initialises the data, which has no TCP port, is not mistaken for the real one.
// It returns the server's DSN.
func (p *container) await(ctx context.Context, password string) (string, error) {
	at, err := p.address(ctx)
	if err != nil {
		return "", err
	}

	for {
		var loginErr error
		for _, host := range at.Hosts {
			// The password identifies our server.
			base := makeDSN(host, at.Port, password)
			// A proxy may accept a connection and never respond.
			attempt, cancel := context.WithTimeout(ctx, time.Second)
			_, loginErr = serverVersion(attempt, base)
			cancel()
			if loginErr == nil {
				return base, nil
			}
		}

		select {
		case <-p.ended:
			return "", fmt.Errorf("%w (last login: %w)", p.failure(), loginErr)
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for the container: %w (last login: %w)", context.Cause(ctx), loginErr)
		}
	}
}

// follow delivers the program's line, and notes how the program ends.
func (p *container) follow(output io.Reader) {
	lines := bufio.NewReader(output)
	if line, err := lines.ReadBytes('\n'); err == nil {
		p.line <- line
	}
	_, _ = io.Copy(io.Discard, lines)

	p.err = p.cmd.Wait()
	close(p.ended)
}

// address waits for the program's line.
func (p *container) address(ctx context.Context) (address, error) {
	select {
	case line := <-p.line:
		var at address
		if err := json.Unmarshal(line, &at); err != nil {
			return address{}, fmt.Errorf("the program for containers wrote %q: %w", line, err)
		}
		return at, nil
	case <-p.ended:
		return address{}, p.failure()
	case <-ctx.Done():
		return address{}, fmt.Errorf("waiting for the container: %w", context.Cause(ctx))
	}
}

// failure is why the program ended; call it once it has.
func (p *container) failure() error {
	if text := strings.TrimSpace(p.stderr.String()); text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("the program for containers ended: %w", p.err)
}

// close ends the program, and with it the container.
func (p *container) close(ctx context.Context) error {
	_ = p.input.Close()

	var late error
	select {
	case <-p.ended:
	case <-ctx.Done():
		late = fmt.Errorf("waiting for the end of the container: %w", context.Cause(ctx))
		_ = p.cmd.Process.Kill()
		<-p.ended
	}

	removeErr := os.RemoveAll(p.dir)
	if p.err != nil && late == nil {
		return errors.Join(p.failure(), removeErr)
	}
	return errors.Join(late, removeErr)
}
