package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// machine is what a run was measured on, without its name.
type machine struct {
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	MemoryGB  int    `json:"memory_gb"`
	System    string `json:"system"`
}

func (m machine) String() string {
	return fmt.Sprintf("%d CPUs (%s), %d GB, %s", m.CPUs, m.Processor, m.MemoryGB, m.System)
}

// readMachine describes this machine. What cannot be found out is called unknown.
func readMachine() machine {
	m := machine{Processor: "unknown", CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := field(string(text), "model name"); name != "" {
			m.Processor = name
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int
		if _, err := fmt.Sscan(field(string(text), "MemTotal"), &kb); err == nil {
			m.MemoryGB = (kb + 1<<19) >> 20
		}
	}
	return m
}

// loadCount is the count of a report that says how busy the machine was, with the measurement and with all else.
const loadCount = "load of the machine, 1, 5 and 15 minutes"

// machineLoad is empty where there is no such thing.
func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return ""
	}
	return strings.Join(fields[:3], " ")
}

// field is what follows a name and a colon in a file of /proc, on the first such line.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// peerModules are the libraries beside which this one is measured.
var peerModules = []string{
	"github.com/jackc/pgx/v5", "github.com/jackc/pgxlisten", "github.com/lib/pq", "github.com/ThreeDotsLabs/watermill-sql/v4",
	"github.com/redis/rueidis", "github.com/redis/go-redis/v9", "github.com/go-redis/cache/v9",
	"github.com/hashicorp/golang-lru/v2", "github.com/maypok86/otter/v2", "github.com/viccon/sturdyc", "github.com/dgraph-io/ristretto/v2",
	"github.com/Yiling-J/theine-go", "github.com/alexedwards/scs/v2", "cirello.io/pglock", "github.com/go-redsync/redsync/v4",
	"github.com/bsm/redislock", "go.etcd.io/etcd/client/v3",
}

// readVersions are those of the servers, of Go, and of the libraries beside which this one is measured.
func readVersions(ctx context.Context, reports []*report) map[string]string {
	versions := map[string]string{"Go": strings.TrimPrefix(runtime.Version(), "go")}
	for _, r := range reports {
		if v := r.Environment.Postgres; v != "" && v != "none" {
			versions["Postgres"] = v
		}
	}
	for name, command := range map[string][]string{
		"Redis": {"redis-server", "--version"}, "etcd": {"etcd", "--version"}, "PgBouncer": {"pgbouncer", "--version"},
	} {
		if v := programVersion(ctx, command...); v != "" {
			versions[name] = v
		}
	}

	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, module := range info.Deps {
		for _, name := range peerModules {
			if module.Path == name {
				versions[strings.TrimPrefix(name, "github.com/")] = module.Version
			}
		}
	}
	return versions
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// programVersion is the first version number that a program prints; empty if there is no such program.
func programVersion(ctx context.Context, command ...string) string {
	path, err := exec.LookPath(command[0])
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + command[0]); err != nil {
			return ""
		}
	}
	out, err := exec.CommandContext(ctx, path, command[1:]...).Output()
	if err != nil {
		return ""
	}
	return versionNumber.FindString(string(out))
}
