package docs

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
)

// Commands knows which commands there are: make targets, programs of the repository, and the command line.
type Commands struct {
	r       *Repository
	program string // path of the built command line, "" to skip its checks
	ctx     context.Context

	mu   sync.Mutex
	help map[string]string // of a subcommand, "" if there is none
}

// NewCommands makes the check of commands; program is a built cmd/pgcoherence.
func NewCommands(ctx context.Context, r *Repository, program string) *Commands {
	return &Commands{r: r, program: program, ctx: ctx, help: map[string]string{}}
}

var (
	makeTarget = regexp.MustCompile(`(?:^|[\s;&|(])make ([a-z][a-z0-9-]*)`)
	goDir      = regexp.MustCompile(`\bgo (?:run|test|build|vet) (?:-\S+ )*-C (\S+)`)
	goPackage  = regexp.MustCompile(`\bgo (?:run|test|build|vet|doc) (?:-\S+ )*(\./\S+)`)
	ownProgram = regexp.MustCompile(`(?:^|[\s;&|(])pgcoherence ([^|;&#)]*)`)
	subcommand = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// Check returns what is wrong with a line of shell, "" if nothing is.
func (c *Commands) Check(line string) string {
	for _, match := range makeTarget.FindAllStringSubmatch(line, -1) {
		makefile, err := c.r.Read("Makefile")
		if err != nil || !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(match[1])+`:`).Match(makefile) {
			return "make has no target " + match[1]
		}
	}

	if match := goDir.FindStringSubmatch(line); match != nil {
		if !c.r.Has(match[1]) {
			return "there is no directory " + match[1]
		}
	} else if match := goPackage.FindStringSubmatch(line); match != nil {
		directory, _, _ := strings.Cut(strings.TrimSuffix(match[1], "/..."), "@")
		if !c.r.Has(directory) {
			return "there is no directory " + directory
		}
	}

	for _, match := range ownProgram.FindAllStringSubmatch(line, -1) {
		if text := c.checkProgram(strings.Fields(match[1])); text != "" {
			return text
		}
	}

	return ""
}

// checkProgram checks the subcommand and the flags of a call of the command line.
func (c *Commands) checkProgram(args []string) string {
	if c.program == "" || len(args) == 0 {
		return ""
	}
	var path []string
	for _, arg := range args {
		if len(path) == 2 || !subcommand.MatchString(arg) || c.helpOf(append(path, arg)) == "" {
			break
		}
		path = append(path, arg)
	}
	if len(path) == 0 {
		if strings.HasPrefix(args[0], "-") || !subcommand.MatchString(args[0]) {
			return ""
		}
		return "the command line has no " + args[0]
	}

	help := c.helpOf(path)
	if strings.Contains(help, "Available Commands:") && len(args) > len(path) && subcommand.MatchString(args[len(path)]) {
		return fmt.Sprintf("%s has no %s", strings.Join(path, " "), args[len(path)])
	}
	for _, arg := range args[len(path):] {
		if arg == "--" {
			break
		}
		name, ok := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		if ok && !strings.Contains(help, "--"+name+" ") {
			return fmt.Sprintf("%s has no flag --%s", strings.Join(path, " "), name)
		}
	}
	return ""
}

// helpOf returns the help of a subcommand, "" if there is none.
func (c *Commands) helpOf(path []string) string {
	key := strings.Join(path, " ")
	c.mu.Lock()
	defer c.mu.Unlock()

	if help, ok := c.help[key]; ok {
		return help
	}

	out, err := exec.CommandContext(c.ctx, c.program, append(append([]string{}, path...), "--help")...).Output()
	help := string(out)

	// For an unknown subcommand cobra prints the help of its parent.
	if err != nil || !regexp.MustCompile(`(?m)^  pgcoherence `+regexp.QuoteMeta(key)+`(?: |$)`).MatchString(help) {
		help = ""
	}

	c.help[key] = help
	return help
}
