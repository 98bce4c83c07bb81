//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const canRunBinaries = true

// owner is the user that a server runs as; nil means the user of this process.
type owner struct{ uid, gid uint32 }

// findOwner returns the unprivileged user to use when this process runs as root.
func findOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}

	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}

		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &owner{uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}

	return nil, errors.New("postgres refuses to run as root, and there is no user postgres or nobody")
}

func (o *owner) own(path string) error {
	if o == nil {
		return nil
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}

// attributes makes a process start as the owner, in its own process group: a
// Ctrl-C at the terminal reaches only the tests, which then stop the server.
func (o *owner) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if o != nil {
		attributes.Credential = &syscall.Credential{Uid: o.uid, Gid: o.gid}
	}
	return attributes
}

func signalStop(pid int, mode Mode) error {
	if mode == Immediate {
		return syscall.Kill(pid, syscall.SIGQUIT)
	}
	return syscall.Kill(pid, syscall.SIGINT)
}

func signalTerm(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }

func signalFreeze(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

func signalKill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// childrenOf lists the direct children of a process: all processes of a server
// are children of its postmaster.
func childrenOf(parent int) ([]int, error) {
	var children []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	if len(stats) > 0 {
		for _, path := range stats {
			if pid, ppid, _, ok := readStat(path); ok && ppid == parent {
				children = append(children, pid)
			}
		}
		return children, nil
	}

	out, err := exec.Command("ps", "-axo", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}

	for line := range strings.Lines(string(out)) {
		var pid, ppid int
		if _, err := fmt.Sscan(line, &pid, &ppid); err == nil && ppid == parent {
			children = append(children, pid)
		}
	}

	return children, nil
}

// alive reports whether a process exists. A zombie does not count: in a
// container an orphan may wait long to be reaped.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	_, _, state, ok := readStat("/proc/" + strconv.Itoa(pid) + "/stat")
	return !ok || state != "Z" && state != "X"
}

// readStat parses Linux's "pid (name) state ppid …"; the name may contain any byte.
func readStat(path string) (pid, ppid int, state string, ok bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, "", false
	}

	text := string(content)
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return 0, 0, "", false
	}
	if _, err := fmt.Sscan(text, &pid); err != nil {
		return 0, 0, "", false
	}

	_, err = fmt.Sscan(text[end+1:], &state, &ppid)
	return pid, ppid, state, err == nil
}
