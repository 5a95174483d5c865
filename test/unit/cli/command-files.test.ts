import { describe, expect, test } from 'vitest';
import { commandFile } from '../../../src/cli/command-files.ts';
import { buildProgram } from '../../../src/cli/program.ts';

const all = (await buildProgram()).commands.map((command) => command.name());

describe('the file that has a command', () => {
  test.each(all.filter((name) => name !== 'completion'))(
    'builds %s alone as it is among all',
    async (name) => {
      const file = commandFile([name, '--json']);
      expect(file).toBeDefined();
      const program = await buildProgram([name]);
      const alone = program.commands.find((command) => command.name() === name);
      const among = (await buildProgram()).commands.find((command) => command.name() === name);
      expect(alone?.helpInformation()).toBe(among?.helpInformation());
      const others = program.commands.filter((command) => commandFile([command.name()]) !== file);
      expect(others).toEqual([]);
    },
  );

  test.each([
    [[]],
    [['--help']],
    [['help', 'list']],
    [['lst']],
    [['completion', 'bash']],
    [['toString']],
    [['list', '--qmp', 'socket', 'disk.qcow2']],
    [['map', '--picture=map.svg', 'disk.qcow2']],
  ])('is none for %j: all are loaded', async (args) => {
    expect(commandFile(args)).toBeUndefined();
    expect((await buildProgram(args)).commands).toHaveLength(all.length);
  });
});
