// Command compose-check reads a compose file and a Dockerfile with the libraries that define both formats, and prints
// what they say as one JSON object, for tests to hold against. It needs no Docker engine.
//
//	compose-check docker-compose.yml Dockerfile [profile…] < environment
//
// The environment comes on standard input, a NAME=value a line. A file that does not load is an error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"gopkg.in/yaml.v3"
)

type variable struct {
	Name     string `json:"name"`
	Default  string `json:"default"`
	Required bool   `json:"required"`
}

type stage struct {
	Name     string     `json:"name"`
	Base     string     `json:"base"`
	Commands [][]string `json:"commands"`
}

type report struct {
	Project   *types.Project `json:"project"`
	Variables []variable     `json:"variables"`
	Stages    []stage        `json:"stages"`
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: compose-check docker-compose.yml Dockerfile [profile…] < environment"))
	}
	found, err := check(os.Args[1], os.Args[2], os.Args[3:], os.Stdin)
	if err != nil {
		fail(err)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(found); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func check(compose, dockerfile string, profiles []string, environment io.Reader) (*report, error) {
	env, err := readEnvironment(environment)
	if err != nil {
		return nil, err
	}
	options, err := cli.NewProjectOptions(
		[]string{compose},
		cli.WithEnv(env),
		cli.WithProfiles(profiles),
		cli.WithResolvedPaths(true),
		cli.WithWorkingDirectory(filepath.Dir(compose)),
	)
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	variables, err := readVariables(compose)
	if err != nil {
		return nil, err
	}
	stages, err := readStages(dockerfile)
	if err != nil {
		return nil, err
	}
	return &report{Project: project, Variables: variables, Stages: stages}, nil
}

func readEnvironment(from io.Reader) ([]string, error) {
	var env []string
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			env = append(env, line)
		}
	}
	return env, lines.Err()
}

// readVariables lists what compose would take from the environment, as the library itself finds it.
func readVariables(compose string) ([]variable, error) {
	text, err := os.ReadFile(compose)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	var found []variable
	for name, held := range template.ExtractVariables(tree, template.DefaultPattern) {
		found = append(found, variable{Name: name, Default: held.DefaultValue, Required: held.Required})
	}
	return found, nil
}

// readStages parses a Dockerfile as BuildKit does: unknown instructions and flags are errors.
func readStages(path string) ([]stage, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	found := make([]stage, 0, len(stages))
	for _, held := range stages {
		item := stage{Name: held.Name, Base: held.BaseName}
		for _, command := range held.Commands {
			item.Commands = append(item.Commands, []string{command.Name(), fmt.Sprint(command)})
		}
		found = append(found, item)
	}
	return found, nil
}
