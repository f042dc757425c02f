"""`foretell lab`: experiments about quality, time and energy."""

import typer

from foretell.cli.calibrate import calibrate
from foretell.cli.claims import claims
from foretell.cli.experiment import run
from foretell.cli.explain_speculation import explain_speculation
from foretell.cli.export import export
from foretell.cli.plans import plans
from foretell.cli.quality import quality
from foretell.cli.report import report

lab = typer.Typer(help="Experiments: what answers are worth, and what they cost.", no_args_is_help=True)
lab.command("run")(run)
lab.command("report")(report)
lab.command("plans")(plans)
lab.command("export")(export)
lab.command("quality")(quality)
lab.command("calibrate")(calibrate)
lab.command("claims")(claims)
lab.command("explain-speculation")(explain_speculation)
