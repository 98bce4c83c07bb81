//go:build unix

package redistest

import (
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// guard ends the server and removes its directory when its input ends, which is when this process dies.
const guard = `cat >/dev/null; kill -KILL "$1" 2>/dev/null; rm -rf "$2"`

// process is a redis-server and its guard.
type process struct {
	server *exec.Cmd
	guard  *exec.Cmd
	pipe   io.Closer
	ended  chan struct{}
}

func startProcess(dir, program string, arguments []string) (*process, error) {
	p := &process{server: exec.Command(program, arguments...), ended: make(chan struct{})}
	p.server.Dir = dir
	p.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C reaches only the tests
	if err := p.server.Start(); err != nil {
		return nil, err
	}

	if err := p.startGuard(dir); err != nil {
		_ = p.server.Process.Kill()
		_ = p.server.Wait()
		return nil, err
	}

	go func() {
		_ = p.server.Wait() // its log says how it ended
		close(p.ended)
	}()
	return p, nil
}

func (p *process) startGuard(dir string) error {
	p.guard = exec.Command("sh", "-c", guard, "redistest-guard", strconv.Itoa(p.server.Process.Pid), dir)
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := p.guard.StdinPipe() // no other child inherits it
	if err != nil {
		return err
	}
	p.pipe = pipe
	return p.guard.Start()
}

// kill kills the server and waits for its end.
func (p *process) kill() {
	_ = p.guard.Process.Kill() // first: it would remove the directory
	_ = p.guard.Wait()
	_ = p.pipe.Close()
	_ = p.server.Process.Kill()
	<-p.ended
}

func (p *process) freeze() error { return p.server.Process.Signal(syscall.SIGSTOP) }
func (p *process) thaw() error   { return p.server.Process.Signal(syscall.SIGCONT) }
