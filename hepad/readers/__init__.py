"""Readers: one module per dialect of files. A new one is a module, an import and a name here."""

from hepad.readers.adc2021 import ADC2021
from hepad.readers.base import Reader
from hepad.readers.dark_machines import DarkMachines
from hepad.readers.delphes import Delphes
from hepad.readers.jetclass import JetClass
from hepad.readers.jetnet import JetNet
from hepad.readers.l1_anomaly import L1Anomaly
from hepad.readers.lhco import LHCOlympics
from hepad.readers.mapped import Mapped
from hepad.readers.nanoaod import NanoAOD
from hepad.readers.physlite import PHYSLITE
from hepad.readers.top_tagging import TopTagging

READERS: dict[str, type[Reader]] = {
    cls.__name__: cls
    for cls in (
        ADC2021, DarkMachines, Delphes, JetClass, JetNet, L1Anomaly, LHCOlympics, Mapped, NanoAOD, PHYSLITE, TopTagging,
    )
}  # fmt: skip
