"""A program that a benchmark starts, and ends with its block."""
import subprocess


class Program:
    """`log`: where what it says goes, with its errors; `output`: of its standard output, if elsewhere."""

    def __init__(self, command, log, output=None):
        self.log = open(log, "w+")
        self.process = subprocess.Popen([str(word) for word in command], stdout=self.log if output is None else output, stderr=self.log)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def fail(self, what):
        """Ends the benchmark too, with the last of what the program said."""
        self.process.kill()
        self.process.wait()
        self.log.seek(0)
        raise SystemExit(f"{what}:\n{self.log.read()[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
